package scheduler

import (
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/fx"
	"go.uber.org/goleak"

	"clockwork/pkg/bus"
	"clockwork/pkg/bus/bustest"
	"clockwork/pkg/protocol"
	"clockwork/pkg/sched"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestModuleIsComplete(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if err := fx.ValidateApp(fx.NopLogger, fx.Supply(DefaultConfig(), bus.Config{}, log), Module); err != nil {
		t.Error(err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{{}, {Policy: "none", Core: sched.Defaults()}, {Policy: "simple"}} {
		if _, err := New(c, bus.Config{}); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// door is a front door's side of the conversation, and everybody else's.
type door struct {
	t      *testing.T
	server *server.Server
	bus    *bus.Bus
	id     uint64
	seq    uint64

	dispatches chan protocol.Dispatch
	outputs    chan protocol.Output
	beats      chan protocol.Heartbeat
}

func newDoor(t *testing.T) *door {
	s := bustest.Server(t)
	d := &door{t: t, server: s, bus: bustest.Open(t, s), id: bus.RandomID(), dispatches: make(chan protocol.Dispatch, 10000),
		outputs: make(chan protocol.Output, 10000), beats: make(chan protocol.Heartbeat, 100000)}
	d.on(d.bus.Subjects.Dispatch(d.id), func(m *nats.Msg) {
		list, fault := bus.Dispatches.Decode(m.Data)
		if fault != nil {
			t.Error(fault)
		}
		for _, x := range list {
			d.dispatches <- x
		}
	})
	d.on(d.bus.Subjects.Output(d.id), func(m *nats.Msg) {
		list, fault := bus.Outputs.Decode(m.Data)
		if fault != nil {
			t.Error(fault)
		}
		for _, x := range list {
			d.outputs <- x
		}
	})
	d.on(d.bus.Subjects.Heartbeat(protocol.Scheduler, "*"), func(m *nats.Msg) {
		h, fault := bus.Heartbeat.Decode(m.Data)
		if fault != nil {
			t.Error(fault)
		}
		d.beats <- h
	})
	return d
}

func (d *door) on(subject string, f nats.MsgHandler) {
	d.t.Helper()
	if _, err := d.bus.Subscribe(d.bus.Control, subject, f); err != nil {
		d.t.Fatal(err)
	}
	if err := d.bus.Control.Flush(); err != nil {
		d.t.Fatal(err)
	}
}

// scheduler starts one and waits until it beats in that state.
func (d *door) scheduler(policy, state string) (*Service, func()) {
	d.t.Helper()
	s, err := New(Config{Policy: policy, Core: sched.Defaults()}, bustest.Config(d.server, "scheduler"))
	if err != nil {
		d.t.Fatal(err)
	}
	stop := bustest.Run(d.t, s)
	d.await(s, state)
	return s, stop
}

func (d *door) await(s *Service, state string) protocol.Heartbeat {
	d.t.Helper()
	for end := time.Now().Add(bustest.Wait); time.Now().Before(end); {
		h := bustest.Next(d.t, "a scheduler that is "+state, d.beats)
		if h.Incarnation == s.id && h.State == state {
			return h
		}
	}
	d.t.Fatalf("the scheduler is not %s", state)
	panic("unreachable")
}

func models() []protocol.ModelSpec {
	return []protocol.ModelSpec{bustest.Spec("a", "zoo/a"), bustest.Spec("b", "zoo/b")}
}

func profiles(kinds ...string) []protocol.Profile {
	var list []protocol.Profile
	for _, m := range models() {
		for _, kind := range kinds {
			at := func(d time.Duration) protocol.Measurement {
				return protocol.Measurement{Samples: 1, Min: d, P50: d, P99: d, Max: d}
			}
			p := protocol.Profile{Digest: m.Digest, Backend: m.Backend, BackendVersion: m.BackendVersion, GPUType: kind, LoadWeights: at(time.Millisecond)}
			for _, b := range m.BatchSizes {
				p.Infer = append(p.Infer, protocol.BatchMeasurement{Batch: b, Measurement: at(time.Millisecond)})
			}
			list = append(list, p)
		}
	}
	return list
}

// lean is a worker's state as the controller hands it on: without the models
// that all of them hold.
func lean(w *bustest.Worker) protocol.WorkerState {
	s := *w.Do(protocol.Action{Kind: protocol.GetWorkerState}).State
	s.Models = nil
	return s
}

func (d *door) activate(workers ...*bustest.Worker) {
	d.t.Helper()
	state := protocol.ClockworkState{PageSize: 1 << 20, Models: models(), Profiles: profiles("t4")}
	for _, w := range workers {
		state.Workers = append(state.Workers, lean(w))
	}
	d.publishParcel(d.bus.Subjects.SchedulerStart(), bus.Start.Encode(&state))
}

func (d *door) publishParcel(subject string, body []byte) {
	d.t.Helper()
	if err := d.bus.SendParcel(d.bus.Payload, subject, body); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) publish(subject string, body []byte) {
	d.t.Helper()
	if err := d.bus.Control.Publish(subject, body); err != nil {
		d.t.Fatal(err)
	}
}

// submit submits a request for a generated input.
func (d *door) submit(model string, budget time.Duration) protocol.RequestID {
	d.t.Helper()
	d.seq++
	id := protocol.RequestID{Door: d.id, Seq: d.seq}
	d.publish(d.bus.Subjects.Submit(d.id), bus.Submissions.Encode(&bus.SubmissionBatch{Door: d.id, Requests: []bus.Submitted{
		{Submission: protocol.Submission{ID: id, Model: model, Batch: 1, Bytes: 8, Budget: budget, Generated: true}}}}))
	return id
}

// served submits a request and waits for its output.
func (d *door) served(model string) {
	d.t.Helper()
	id := d.submit(model, bustest.Wait)
	for {
		select {
		case out := <-d.outputs:
			if out.ID == id {
				return
			}
		case x := <-d.dispatches:
			if x.ID == id && x.Kind != protocol.ToWorker {
				d.t.Fatalf("request for %s: %+v, %v", model, x, x.Refusal)
			}
		case <-time.After(bustest.Wait):
			d.t.Fatalf("request for %s has no outcome", model)
		}
	}
}

func (d *door) refused(id protocol.RequestID, want protocol.Code) {
	d.t.Helper()
	for {
		x := bustest.Next(d.t, "a refusal", d.dispatches)
		if x.ID != id || x.Kind == protocol.ToWorker {
			continue
		}
		if x.Refusal == nil || x.Refusal.Code != want {
			d.t.Fatalf("refused with %+v, want %s", x.Refusal, want)
		}
		return
	}
}

func TestAnActivatedSchedulerServes(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", "ready")
	d.activate(w)
	h := d.await(s, "active")
	if h.Epoch == 0 {
		t.Error("active without an epoch")
	}
	id := d.submit("a", bustest.Wait)
	x := bustest.Next(t, "the dispatch", d.dispatches)
	if x.ID != id || x.Kind != protocol.ToWorker || x.Worker != "w1" || !x.Cold {
		t.Errorf("dispatch %+v", x)
	}
	if out := bustest.Next(t, "the output", d.outputs); out.ID != id {
		t.Errorf("output of %v, want %v", out.ID, id)
	}
	for _, kind := range []protocol.Kind{protocol.LoadWeights, protocol.Infer} {
		actions := w.Received(kind)
		if len(actions) != 1 || actions[0].Epoch != h.Epoch || actions[0].Incarnation != w.Incarnation && actions[0].Incarnation != 0 {
			t.Errorf("%s: %+v", kind, actions)
		}
	}
	d.refused(d.submit("nobody", bustest.Wait), protocol.UnknownModel)
	d.activate(w) // sent again: no news
	d.served("b")
}

func TestClocksComeBeforeActions(t *testing.T) {
	d := newDoor(t)
	s, _ := d.scheduler("simple", "ready")
	// The worker hears no scheduler until it is told to beat: its clock is unknown.
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	answer, err := d.bus.Payload.Request(d.bus.Subjects.Clock("w1"), nil, bustest.Wait)
	if err != nil {
		t.Fatal(err)
	}
	reading, fault := bus.Clock.Decode(answer.Data)
	if fault != nil || reading.Epoch == 0 || reading.Now <= 0 {
		t.Fatalf("reading %+v, %v", reading, fault)
	}
	d.activate(w)
	h := d.await(s, "active")
	if h.Epoch != reading.Epoch {
		t.Errorf("epoch %d, the clock's is %d", h.Epoch, reading.Epoch)
	}
	d.served("a")
}

func TestAWorkerThatComesLaterServes(t *testing.T) {
	d := newDoor(t)
	w1 := bustest.StartWorker(t, d.bus, "w1", "t4")
	w1.Hold(models()...)
	s, _ := d.scheduler("simple", "ready")
	d.activate(w1)
	d.await(s, "active")
	d.served("a")
	w2 := bustest.StartWorker(t, d.bus, "w2", "t4")
	w2.Hold(models()...)
	state := lean(w2)
	d.publishParcel(d.bus.Subjects.SchedulerJoin(), bus.Join.Encode(&state))
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
	s, _ := d.scheduler("simple", "ready")
	d.activate(w1)
	epoch := d.await(s, "active").Epoch
	state := lean(w2)
	for range 3 {
		answer, err := d.bus.AskParcel(t.Context(), d.bus.Payload, d.bus.Subjects.SchedulerJoin(), bus.Join.Encode(&state))
		if err != nil {
			t.Fatal(err)
		}
		if by, fault := bus.Heartbeat.Decode(answer.Data); fault != nil || by.Epoch != epoch {
			t.Fatalf("confirmed by %+v, %v; active is epoch %d", by, fault, epoch)
		}
	}
	term := s.term.Load()
	bustest.Until(t, "both are members", func() bool {
		term.mu.Lock()
		defer term.mu.Unlock()
		return len(term.members) == 2 && len(term.joining) == 0
	})
	d.served("a")
}

// TestAnActivationThatIsSentAgainMayNameAWorker that nobody told of.
func TestAnActivationThatIsSentAgainMayNameAWorker(t *testing.T) {
	d := newDoor(t)
	w1, w2 := bustest.StartWorker(t, d.bus, "w1", "t4"), bustest.StartWorker(t, d.bus, "w2", "t4")
	w1.Hold(models()...)
	w2.Hold(models()...)
	s, _ := d.scheduler("simple", "ready")
	d.activate(w1)
	d.await(s, "active")
	d.activate(w1, w2)
	w1.Stop()
	d.served("b")
	if len(w2.Received(protocol.Infer)) == 0 {
		t.Error("the second worker got nothing")
	}
}

// TestAWorkerThatStopsIsLetGoAtOnce, although its heart still beats: what it was
// given too late runs elsewhere.
func TestAWorkerThatStopsIsLetGoAtOnce(t *testing.T) {
	d := newDoor(t)
	w1, w2 := bustest.StartWorker(t, d.bus, "w1", "t4"), bustest.StartWorker(t, d.bus, "w2", "t4")
	w1.Hold(models()...)
	w2.Hold(models()...)
	deaf := make(chan struct{}, 1)
	w1.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.Infer {
			deaf <- struct{}{}
			return &protocol.Result{}
		}
		return nil
	})
	s, _ := d.scheduler("simple", "ready")
	d.activate(w1)
	d.await(s, "active")
	id := d.submit("a", bustest.Wait)
	bustest.Next(t, "an Infer", deaf)
	late := lean(w2)
	d.publishParcel(d.bus.Subjects.SchedulerJoin(), bus.Join.Encode(&late))
	for _, inFlight := range []int{1, 0} {
		h := protocol.Heartbeat{Incarnation: w1.Incarnation, State: protocol.Stopping, InFlight: inFlight}
		d.publish(d.bus.Subjects.Heartbeat(protocol.Worker, "w1"), bus.Heartbeat.Encode(&h))
	}
	if out := bustest.Next(t, "the output from the other worker", d.outputs); out.ID != id {
		t.Errorf("output of %v, want %v", out.ID, id)
	}
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
	s, _ := d.scheduler("simple", "ready")
	d.activate(w1, w2)
	d.await(s, "active")
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
	s, _ := d.scheduler("simple", "ready")
	d.activate(w)
	d.await(s, "active")
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

func TestAnotherLifeOfAWorkerIsAnotherWorker(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", "ready")
	d.activate(w)
	d.await(s, "active")
	d.served("a")
	w.Stop()
	again := bustest.StartWorker(t, d.bus, "w1", "t4")
	again.Hold(models()...)
	state := lean(again)
	d.publishParcel(d.bus.Subjects.SchedulerJoin(), bus.Join.Encode(&state))
	d.served("a")
	if loads := again.Received(protocol.LoadWeights); len(loads) == 0 {
		t.Error("the new life was taken for the old one, which had the weights")
	}
}

func TestTheEpochIsAboveWhatWorkersObey(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	const seen = 1 << 40 // the store was lost; its revisions begin anew
	w.Do(protocol.Action{})
	s, _ := d.scheduler("simple", "ready")
	state := protocol.ClockworkState{PageSize: 1 << 20, Models: models(), Profiles: profiles("t4"), Workers: []protocol.WorkerState{lean(w)}}
	state.Workers[0].Epoch = seen
	d.publishParcel(d.bus.Subjects.SchedulerStart(), bus.Start.Encode(&state))
	for {
		if h := d.await(s, "active"); h.Epoch > seen {
			break
		}
	}
	d.served("a")
}

func TestAFencedSchedulerBeginsANewEpoch(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", "ready")
	d.activate(w)
	old := d.await(s, "active")
	d.served("a")
	w.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.Infer && a.Epoch == old.Epoch {
			return &protocol.Result{Kind: a.Kind, Code: protocol.StaleEpoch, Epoch: old.Epoch + 1}
		}
		return nil
	})
	d.submit("a", bustest.Wait)
	d.await(s, "ready") // it gave the lease back and took it again
	d.activate(w)
	if h := d.await(s, "active"); h.Epoch <= old.Epoch {
		t.Errorf("epoch %d after %d", h.Epoch, old.Epoch)
	}
	d.served("a")
	// A worker answers an (issuer, id) it knows with the old result.
	seen := map[[2]uint64]bool{}
	for _, a := range w.Received(protocol.Infer) {
		key := [2]uint64{a.Issuer, uint64(a.ID)}
		if seen[key] {
			t.Errorf("action %d of issuer %d was given twice", a.ID, a.Issuer)
		}
		seen[key] = true
	}
}

// TestAStackThatBeganAnewIsServed: a scheduler that outlived the loss of the
// store is given other models; it takes them in a new epoch.
func TestAStackThatBeganAnewIsServed(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", "ready")
	d.activate(w)
	old := d.await(s, "active")
	d.activate(w) // the same again changes nothing
	d.served("a")

	other := bustest.Spec("c", "zoo/a") // the path of a, so its digest and profile
	w.Hold(other)
	state := protocol.ClockworkState{PageSize: 1 << 20, Models: []protocol.ModelSpec{other}, Profiles: profiles("t4"), Workers: []protocol.WorkerState{lean(w)}}
	start := func() { d.publishParcel(d.bus.Subjects.SchedulerStart(), bus.Start.Encode(&state)) }
	start()
	d.await(s, "ready")
	start() // the controller sends it again
	if h := d.await(s, "active"); h.Epoch <= old.Epoch {
		t.Errorf("epoch %d after %d", h.Epoch, old.Epoch)
	}
	d.served("c")
}

func TestASecondSchedulerStandsByAndTakesOver(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	first, stop := d.scheduler("simple", "ready")
	second, _ := d.scheduler("simple", "standby")
	d.activate(w)
	epoch := d.await(first, "active").Epoch
	d.served("a")
	stop()
	d.await(second, "ready")
	d.activate(w)
	if h := d.await(second, "active"); h.Epoch <= epoch {
		t.Errorf("epoch %d after %d", h.Epoch, epoch)
	}
	d.served("a")
}

func TestStaleResultsChangeNothing(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", "ready")
	d.activate(w)
	d.await(s, "active")
	d.served("a")
	infer := w.Received(protocol.Infer)[0]
	for range 3 { // the same result again
		w.Answer(infer, protocol.Result{Code: protocol.BackendError})
	}
	infer.Issuer++ // somebody else's, of a later epoch
	w.Answer(infer, protocol.Result{Code: protocol.StaleEpoch, Epoch: 1 << 50})
	infer.Issuer--
	infer.ID = 1 << 40
	w.Answer(infer, protocol.Result{Code: protocol.OK})
	d.served("a")
}

func TestRequestsWithoutTimeAreRefused(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", "ready")
	d.activate(w)
	d.await(s, "active")
	for _, budget := range []time.Duration{-1 << 63, -1, 0, 1} {
		id := d.submit("a", budget)
		for {
			x := bustest.Next(t, "a refusal", d.dispatches)
			if x.ID == id && x.Kind == protocol.Refuse {
				if code := x.Refusal.Code; code != protocol.DeadlineUnmeetable && code != protocol.DeadlineExceeded {
					t.Errorf("a budget of %v: %s", budget, code)
				}
				break
			}
		}
	}
	d.served("a")
}

func TestEchoAnswersWithoutAWorker(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	s, _ := d.scheduler("echo", "ready")
	d.activate(w)
	d.await(s, "active")
	id := d.submit("a", time.Second)
	if x := bustest.Next(t, "the answer", d.dispatches); x.ID != id || x.Kind != protocol.Answer {
		t.Errorf("dispatch %+v", x)
	}
}

func TestHostileMessagesDoNoHarm(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", "ready")
	throw := func() {
		j := d.bus.Subjects
		for _, body := range bustest.Garbage() {
			for _, subject := range []string{j.Submit(1), j.Submit(1) + ".7", j.SchedulerStart(), j.SchedulerJoin(), j.Result("w1"), j.Clock("w1"),
				j.Heartbeat(protocol.Worker, "w9"), j.Heartbeat(protocol.FrontDoor, "x")} {
				d.publish(subject, body)
			}
		}
		// Well-formed, and senseless.
		d.publish(j.Submit(1), bus.Submissions.Encode(&bus.SubmissionBatch{Door: 1, Requests: []bus.Submitted{
			{Submission: protocol.Submission{Model: "a", Batch: -1, Budget: 1 << 62}, Reply: "$JS.API.STREAM.LIST"},
			{Submission: protocol.Submission{Model: "a", Batch: 1 << 40, Budget: 1 << 62}}, {Submission: protocol.Submission{Batch: 1}}}}))
		odd := protocol.WorkerState{ID: "w8", Incarnation: 1, Epoch: 1<<64 - 1, GPUs: []protocol.GPUState{{ID: -1, PagesTotal: -5, PagesUsed: 1 << 60}}}
		d.publishParcel(j.SchedulerJoin(), bus.Join.Encode(&odd))
		d.publish(j.Heartbeat(protocol.FrontDoor, "no-number"), bus.Heartbeat.Encode(&protocol.Heartbeat{}))
	}
	throw()
	d.activate(w)
	d.await(s, "active")
	d.served("a")
	throw()
	d.served("b")
}
