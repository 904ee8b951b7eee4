package scheduler

import (
	"sync"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

func TestClocksComeBeforeActions(t *testing.T) {
	d := newDoor(t)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	// The worker hears no scheduler until it is told to beat: its clock is unknown.
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	answer, err := d.bus.Payload.Request(d.bus.Subjects.Clock("w1"), nil, bustest.Wait)
	if err != nil {
		t.Fatal(err)
	}
	reading, fault := wire.Clock.Decode(answer.Data)
	if fault != nil || reading.Epoch == 0 || reading.Now <= 0 {
		t.Fatalf("reading %+v, %v", reading, fault)
	}
	d.activate(w)
	h := d.await(s, protocol.SchedulerActive)
	if h.Epoch != reading.Epoch {
		t.Errorf("epoch %d, the clock's is %d", h.Epoch, reading.Epoch)
	}
	d.served("a")
}

func TestAWorkerThatComesLaterServes(t *testing.T) {
	d := newDoor(t)
	w1 := bustest.StartWorker(t, d.bus, "w1", "t4")
	w1.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w1)
	d.await(s, protocol.SchedulerActive)
	d.served("a")
	w2 := bustest.StartWorker(t, d.bus, "w2", "t4")
	w2.Hold(models()...)
	state := lean(w2)
	d.publishParcel(d.bus.Subjects.SchedulerJoin(), wire.Join.Encode(&state))
	w1.Stop()
	d.served("b")
	if len(w2.Received(protocol.Infer)) == 0 {
		t.Error("the second worker got nothing")
	}
}

// TestAJoinIsConfirmed each time it is told, with the epoch that has the worker
// now, and is news once.
func TestAJoinIsConfirmed(t *testing.T) {
	d := newDoor(t)
	w1, w2 := bustest.StartWorker(t, d.bus, "w1", "t4"), bustest.StartWorker(t, d.bus, "w2", "t4")
	w1.Hold(models()...)
	w2.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w1)
	epoch := d.await(s, protocol.SchedulerActive).Epoch
	state := lean(w2)
	for range 3 {
		answer, err := d.bus.RequestChunks(t.Context(), d.bus.Payload, d.bus.Subjects.SchedulerJoin(), wire.Join.Encode(&state))
		if err != nil {
			t.Fatal(err)
		}
		if by, fault := wire.Heartbeat.Decode(answer.Data); fault != nil || by.Epoch != epoch {
			t.Fatalf("confirmed by %+v, %v; active is epoch %d", by, fault, epoch)
		}
	}
	term := s.term.Load()
	bustest.Until(t, "both are members", func() bool {
		term.mu.Lock()
		defer term.mu.Unlock()
		return term.core.Workers() == 2
	})
	d.served("a")
}

func TestALostWorkersRequestsRunElsewhere(t *testing.T) {
	d := newDoor(t)
	w1, w2 := bustest.StartWorker(t, d.bus, "w1", "t4"), bustest.StartWorker(t, d.bus, "w2", "t4")
	taken := make(chan string, 100)
	var mu sync.Mutex
	hung := ""
	for _, w := range []*bustest.Worker{w1, w2} {
		w.Hold(models()...)
		w.Script(func(a protocol.Action) *protocol.Result {
			mu.Lock()
			defer mu.Unlock()
			if a.Kind == protocol.Infer && (hung == "" || hung == w.ID) {
				hung = w.ID
				taken <- w.ID
				return &protocol.Result{} // it hangs, and will die
			}
			return nil
		})
	}
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w1, w2)
	d.await(s, protocol.SchedulerActive)
	id := d.submit("a", bustest.Wait)
	first := bustest.Next(t, "an Infer", taken)
	map[string]*bustest.Worker{"w1": w1, "w2": w2}[first].Stop()
	if out := bustest.Next(t, "the output from the other worker", d.outputs); out.ID != id {
		t.Errorf("output of %v, want %v", out.ID, id)
	}
	for i, want := range []bool{true, false} {
		x := bustest.Next(t, "a dispatch", d.dispatches)
		if x.ID != id || x.Kind != protocol.ToWorker || (x.Worker == first) != want {
			t.Errorf("dispatch %d: %+v", i, x)
		}
	}
}

// The controller may not miss a worker that the scheduler missed; then nobody
// but the scheduler can bring it back.
func TestAWorkerThatWasSilentComesBack(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	d.await(s, protocol.SchedulerActive)
	d.served("a")
	w.Silence()
	bustest.Until(t, "the scheduler misses the worker", func() bool {
		for len(d.dispatches) > 0 {
			if x := <-d.dispatches; x.Kind == protocol.Refuse {
				return true
			}
		}
		d.submit("a", 40*time.Millisecond)
		return false
	})
	w.Beat()
	bustest.Until(t, "the worker is asked for its state", func() bool { return len(w.Received(protocol.GetWorkerState)) > 0 })
	d.served("b")
}
