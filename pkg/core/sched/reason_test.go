package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// The drift that explain had: with messages of 10 ms an idle GPU is too late for 30 ms,
// and the core says so itself, of what was learned and not of constants.
func TestARefusalSaysWhatTheWayTakes(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{3}})
	r.join(0, "w", 4, "a")
	out := r.submit(10, "a", 200)
	done := protocol.Result{Action: out.Actions[0].Action.ID, Issuer: 7, Epoch: 1, Worker: "w", Kind: protocol.Infer, Code: protocol.OK, Batch: 1,
		Received: instant(20), Begin: instant(30), End: instant(33), Sent: instant(33)}
	r.step(43, &Result{done})
	out = r.submit(100, "a", 30)
	if len(out.Refusals) != 1 || len(out.Reasons) != 1 {
		t.Fatalf("refusals %v, reasons %+v", out.Refusals, out.Reasons)
	}
	why, refusal := out.Reasons[0], out.Refusals[0].Refusal
	best := why.Best
	if why.Why != WhyTight || best.Worker != "w" || best.To != 10*time.Millisecond || best.Back != 10*time.Millisecond || best.Exec != 3*time.Millisecond || best.Open != 0 {
		t.Errorf("%+v", why)
	}
	if end := ms(why.Earliest.Sub(why.Arrived) + why.Reserve); end != refusal.EarliestMS || end < 39 {
		t.Errorf("done after %v ms, refused with %v", end, refusal.EarliestMS)
	}
	if why.Idle <= why.Deadline {
		t.Errorf("another GPU would be done at %v of %v", why.Idle, why.Deadline)
	}
	if why.Budget <= 39*time.Millisecond || len(r.step(100, &Submit{protocol.Submission{ID: protocol.RequestID{Door: 1, Seq: 99}, Model: "a", Batch: 1, Budget: why.Budget, Generated: true}}).Refusals) != 0 {
		t.Errorf("a budget of %v does not do", why.Budget)
	}
}

func TestASnapshotShowsLanesCopiesAndQueues(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{30}}, part{name: "b", exec: []float64{2}, load: 8})
	r.join(0, "w", 4, "a")
	for range 3 {
		r.submit(10, "a", 500)
	}
	r.submit(10, "b", 500)
	var s Snapshot
	r.core.Snapshot(&s)
	if len(s.GPUs) != 1 || len(s.Models) != 2 {
		t.Fatalf("%+v", s)
	}
	g, a, b := s.GPUs[0], s.Models[0], s.Models[1]
	if g.Worker != "w" || g.Copies != 1 || len(g.Executions) != 1 || g.Executions[0].Model != "a" || g.ExecFree != g.Executions[0].End || g.ExecFree.Sub(s.Now) < 30*time.Millisecond {
		t.Errorf("execution lane of %+v", g)
	}
	if len(g.Transfers) != 1 || g.Transfers[0].Model != "b" || g.LoadFree.Sub(s.Now) != 8*time.Millisecond {
		t.Errorf("transfer lane of %+v", g)
	}
	if a.Copies != 1 || a.Queued != 2 || a.Recent != 3 || a.Exec != 30*time.Millisecond || b.Copies != 0 || b.Loading != 1 || b.Load != 8*time.Millisecond {
		t.Errorf("models %+v, %+v", a, b)
	}
	id := protocol.RequestID{Door: 1, Seq: 3}
	if why, waits := r.core.Waits(id); !waits || why.Why != WhyBehind || why.Best.With != "a" || why.Ahead != 1 {
		t.Errorf("%v waits %v: %+v", id, waits, why)
	}
	if _, waits := r.core.Waits(protocol.RequestID{Door: 1, Seq: 1}); waits {
		t.Error("what runs does not wait")
	}
}
