package scheduler

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

func TestMain(m *testing.M) { bustest.VerifyNoLeaks(m) }

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

func TestAnActivatedSchedulerServes(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	h := d.await(s, protocol.SchedulerActive)
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

func TestAFencedSchedulerBeginsANewEpoch(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	old := d.await(s, protocol.SchedulerActive)
	d.served("a")
	w.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.Infer && a.Epoch == old.Epoch {
			return &protocol.Result{Kind: a.Kind, Code: protocol.StaleEpoch, Epoch: old.Epoch + 1}
		}
		return nil
	})
	refused := d.submit("a", bustest.Wait)
	for x := bustest.Next(t, "a refusal", d.dispatches); x.ID != refused || x.Kind != protocol.Refuse; {
		x = bustest.Next(t, "a refusal", d.dispatches)
	}
	if s.term.Load().heartbeat().State != protocol.SchedulerActive {
		t.Fatal("the word of a worker alone ended the term")
	}
	other := protocol.Heartbeat{Incarnation: 9, Epoch: old.Epoch + 1, State: protocol.SchedulerReady}
	if err := d.bus.Control.Publish(d.bus.Subjects.Heartbeat(protocol.Scheduler, "9"), wire.Heartbeat.Encode(&other)); err != nil {
		t.Fatal(err)
	}
	for h := old; h.State != protocol.SchedulerReady || h.Incarnation != s.id; h = bustest.Next(t, "a heartbeat", d.beats) {
		d.submit("a", bustest.Wait) // until it gives the lease back, and takes it again
	}
	d.activate(w)
	if h := d.await(s, protocol.SchedulerActive); h.Epoch <= old.Epoch {
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
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	old := d.await(s, protocol.SchedulerActive)
	d.activate(w) // the same again changes nothing
	d.served("a")

	other := bustest.Spec("c", "zoo/a") // the path of a, so its digest and profile
	w.Hold(other)
	state := protocol.ClockworkState{PageSize: 1 << 20, Models: []protocol.ModelSpec{other}, Profiles: profiles("t4"), Workers: []protocol.WorkerState{lean(w)}}
	start := func() { d.publishParcel(d.bus.Subjects.SchedulerStart(), wire.Start.Encode(&state)) }
	start()
	d.await(s, protocol.SchedulerReady)
	start() // the controller sends it again
	if h := d.await(s, protocol.SchedulerActive); h.Epoch <= old.Epoch {
		t.Errorf("epoch %d after %d", h.Epoch, old.Epoch)
	}
	d.served("c")
}

func TestASecondSchedulerStandsByAndTakesOver(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	first, stop := d.scheduler("simple", protocol.SchedulerReady)
	second, _ := d.scheduler("simple", protocol.Standby)
	d.activate(w)
	epoch := d.await(first, protocol.SchedulerActive).Epoch
	d.served("a")
	stop()
	d.await(second, protocol.SchedulerReady)
	d.activate(w)
	if h := d.await(second, protocol.SchedulerActive); h.Epoch <= epoch {
		t.Errorf("epoch %d after %d", h.Epoch, epoch)
	}
	d.served("a")
}

func TestStaleResultsChangeNothing(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	d.await(s, protocol.SchedulerActive)
	d.served("a")
	infer := w.Received(protocol.Infer)[0]
	for range 3 { // the same result again
		w.Answer(infer, protocol.Result{Code: protocol.BackendError})
	}
	infer.Issuer++ // somebody else's, of a later epoch
	w.Answer(infer, protocol.Result{Code: protocol.StaleEpoch, Epoch: 1 << 60})
	infer.Issuer--
	infer.ID = 1 << 40
	w.Answer(infer, protocol.Result{Code: protocol.OK})
	d.served("a")
}

// TestRequestsWithoutTimeAreRefused: without any left, a submission only asks whose
// the answer is.
func TestRequestsWithoutTimeAreRefused(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	d.await(s, protocol.SchedulerActive)
	d.epoch = d.await(s, protocol.SchedulerActive).Epoch
	for budget, want := range map[time.Duration]protocol.DispatchKind{-protocol.MaxSpan: protocol.Yours, 0: protocol.Yours, 1: protocol.Refuse} {
		id := d.submit("a", budget)
		x := bustest.Next(t, "a decision", d.dispatches)
		if x.ID != id || x.Kind != want {
			t.Errorf("a budget of %v: %+v", budget, x)
		}
		if x.Refusal != nil && x.Refusal.Code != protocol.DeadlineUnmeetable && x.Refusal.Code != protocol.DeadlineExceeded {
			t.Errorf("a budget of %v: %s", budget, x.Refusal.Code)
		}
	}
	d.served("a")
}

// TestACodeStandsForItself where a worker says nothing else: the client is told in a
// whole sentence.
func TestACodeStandsForItself(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	w.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind == protocol.Infer {
			return &protocol.Result{Kind: a.Kind, Code: protocol.InvalidInput}
		}
		return nil
	})
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	d.await(s, protocol.SchedulerActive)
	id := d.submit("a", bustest.Wait)
	for {
		x := bustest.Next(t, "the refusal", d.dispatches)
		if x.ID != id || x.Kind == protocol.ToWorker {
			continue
		}
		if x.Refusal == nil || !strings.HasSuffix(x.Refusal.Message, protocol.InvalidInput.Row().Sentence) {
			t.Errorf("refused with %v", x.Refusal)
		}
		return
	}
}

func TestEchoAnswersWithoutAWorker(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	s, _ := d.scheduler("echo", protocol.SchedulerReady)
	d.activate(w)
	d.await(s, protocol.SchedulerActive)
	id := d.submit("a", time.Second)
	if x := bustest.Next(t, "the answer", d.dispatches); x.ID != id || x.Kind != protocol.Answer {
		t.Errorf("dispatch %+v", x)
	}
}

func TestHostileMessagesDoNoHarm(t *testing.T) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	throw := func() {
		j := d.bus.Subjects
		for _, body := range bustest.Garbage() {
			for _, subject := range []string{j.Submit(1), j.Submit(1) + ".7", j.SchedulerStart(), j.SchedulerJoin(), j.Result("w1"), j.Clock("w1"),
				j.Heartbeat(protocol.Worker, "w9"), j.Heartbeat(protocol.FrontDoor, "x")} {
				d.publish(subject, body)
			}
		}
		// Well-formed, and senseless.
		d.publish(j.Submit(1), wire.Submissions.Encode(&protocol.SubmissionBatch{Door: 1, Requests: []protocol.Submitted{
			{Submission: protocol.Submission{Model: "a", Batch: -1, Budget: 1 << 62}, Reply: "$JS.API.STREAM.LIST"},
			{Submission: protocol.Submission{Model: "a", Batch: 1 << 40, Budget: 1 << 62}}, {Submission: protocol.Submission{Batch: 1}}}}))
		odd := protocol.WorkerState{ID: "w8", Incarnation: 1, Epoch: 1<<64 - 1, GPUs: []protocol.GPUState{{ID: -1, PagesTotal: -5, PagesUsed: 1 << 60}}}
		d.publishParcel(j.SchedulerJoin(), wire.Join.Encode(&odd))
		d.publish(j.Heartbeat(protocol.FrontDoor, "no-number"), wire.Heartbeat.Encode(&protocol.Heartbeat{}))
	}
	throw()
	d.activate(w)
	d.await(s, protocol.SchedulerActive)
	d.served("a")
	throw()
	d.served("b")
}
