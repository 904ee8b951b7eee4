package scheduler

import (
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// A fault of the original (OSDI 2020, its published controller): a worker's
// death is never noticed, and its requests are never answered. Here that would
// be a request without an outcome, since a result would be overdue only after a
// minute. go test -run KnownFault finds the tests of the others as well.

// beginPatient begins an active scheduler that gives up an action after a
// minute, so that nothing but the silence of its heartbeats tells of a worker's
// death.
func (d *door) beginPatient(workers ...*bustest.Worker) {
	d.t.Helper()
	core := sched.Defaults()
	core.Lag = time.Minute
	s, err := New(Config{Policy: "clockwork", Core: core}, bustest.Config(d.server, "scheduler"))
	if err != nil {
		d.t.Fatal(err)
	}
	bustest.Run(d.t, s)
	d.await(s, protocol.SchedulerReady)
	d.activate(workers...)
	d.await(s, protocol.SchedulerActive)
}

// hanging is a worker that holds the models and never ends an Infer; it tells
// which it has got.
func (d *door) hanging(name string, got chan protocol.RequestID) *bustest.Worker {
	w := bustest.StartWorker(d.t, d.bus, name, "t4")
	w.Hold(models()...)
	w.Script(func(a protocol.Action) *protocol.Result {
		if a.Kind != protocol.Infer {
			return nil
		}
		got <- a.Requests[0].ID
		return &protocol.Result{}
	})
	return w
}

func TestKnownFaultADeadWorkersRequestIsNeverAnswered(t *testing.T) {
	d := newDoor(t)
	got := make(chan protocol.RequestID, 100)
	w := d.hanging("w1", got)
	d.beginPatient(w)
	id := d.submit("a", 2*time.Second)
	bustest.Next(t, "an Infer at w1", got)
	w.Stop()
	d.refused(id, protocol.WorkerLost)
}

// The same where another worker could run it, and comes after the death.
func TestKnownFaultADeadWorkersRequestIsNotRunElsewhere(t *testing.T) {
	d := newDoor(t)
	got := make(chan protocol.RequestID, 100)
	dead := d.hanging("w1", got)
	d.beginPatient(dead)
	id := d.submit("a", bustest.Wait)
	bustest.Next(t, "an Infer at w1", got)
	dead.Stop()
	alive := bustest.StartWorker(t, d.bus, "w2", "t4")
	alive.Hold(models()...)
	state := lean(alive)
	d.publishParcel(d.bus.Subjects.SchedulerJoin(), wire.Join.Encode(&state))
	if out := bustest.Next(t, "the output from w2", d.outputs); out.ID != id {
		t.Errorf("output of %v, want %v", out.ID, id)
	}
}
