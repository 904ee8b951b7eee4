package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// A model that no worker could load is refused at once: nothing can come that serves it
// before a worker does. Once a worker has it, it is served.
func TestAModelThatNoWorkerHasIsRefusedAtOnce(t *testing.T) {
	for _, policy := range []string{"clockwork", "faithful", "simple"} {
		core, _ := New(policy, Defaults())
		a, pa := spec("a", 1, time.Millisecond, time.Millisecond)
		b, pb := spec("b", 1, time.Millisecond, time.Millisecond)
		w := protocol.WorkerState{ID: "w", Incarnation: 1, GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 4}}, Models: []protocol.ModelSpec{a}}
		core.Step(0, &Activate{Epoch: 1, Issuer: 7, State: protocol.ClockworkState{
			Models: []protocol.ModelSpec{a, b}, Profiles: []protocol.Profile{pa, pb}, Workers: []protocol.WorkerState{w}}})
		ask := func(seq uint64, model string) *protocol.Error {
			out := core.Step(0, &Submit{protocol.Submission{ID: protocol.RequestID{Seq: seq}, Model: model, Batch: 1, Budget: time.Second}})
			if len(out.Refusals) == 0 {
				return nil
			}
			return out.Refusals[0].Refusal
		}
		if refusal := ask(1, "a"); refusal != nil {
			t.Errorf("%s: a: %v", policy, refusal)
		}
		if refusal := ask(2, "b"); refusal == nil || refusal.Code != protocol.ModelUnavailable {
			t.Errorf("%s: b: %v", policy, refusal)
		}
		w.Models = append(w.Models, b)
		core.Step(0, &WorkerJoined{State: w})
		if refusal := ask(3, "b"); refusal != nil {
			t.Errorf("%s: b, once it is there: %v", policy, refusal)
		}
	}
}

// GPUs of one type under two versions of a backend are planned with times of their own. A
// version without a profile serves nothing until one comes with a worker.
func TestEachVersionOfABackendHasItsTimes(t *testing.T) {
	c := newEngine(Defaults())
	c.decideBy(newClockworkPolicy(c, planners["clockwork"]))
	m, fast := spec("a", 1, time.Millisecond, time.Millisecond)
	m.Backend, m.BackendVersion, fast.Backend, fast.BackendVersion = "ort", "1", "ort", "1"
	_, slow := spec("a", 1, 2*time.Millisecond, 9*time.Millisecond)
	slow.Digest, slow.Backend, slow.BackendVersion = fast.Digest, "ort", "2"
	on := func(id, version string) protocol.WorkerState {
		return protocol.WorkerState{ID: id, Incarnation: 1, Backend: "ort", BackendVersion: version,
			GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 4}}, Models: []protocol.ModelSpec{m}}
	}
	c.Step(0, &Activate{Epoch: 1, State: protocol.ClockworkState{Models: []protocol.ModelSpec{m}, Profiles: []protocol.Profile{fast, slow},
		Workers: []protocol.WorkerState{on("u", "1"), on("v", "2"), on("w", "3")}}})
	times := map[string]time.Duration{}
	for _, g := range c.gpus {
		if cost := c.names["a"].costs[g.kind]; cost != nil {
			times[g.worker.id] = cost.exec(1)
		}
	}
	if len(times) != 2 || times["u"] != time.Millisecond || times["v"] != 9*time.Millisecond {
		t.Errorf("times are %v", times)
	}
	if n := c.names["a"].capableGPUs(); n != 2 {
		t.Errorf("%d GPUs are capable", n)
	}
	third := slow
	third.BackendVersion = "3"
	again := on("w", "3")
	again.Profiles = []protocol.Profile{third}
	c.Step(0, &WorkerJoined{State: again})
	if n := c.names["a"].capableGPUs(); n != 3 {
		t.Errorf("with a profile of its version %d GPUs are capable", n)
	}
}

// A GPU that can hold no served model takes no work, and who asks is told how many models
// no GPU can hold.
func TestWhoCanHoldNoModelTakesNoWork(t *testing.T) {
	core, _ := New("clockwork", Defaults())
	a, pa := spec("a", 1, time.Millisecond, time.Millisecond)
	b, pb := spec("b", 1, time.Millisecond, time.Millisecond)
	w := protocol.WorkerState{ID: "w", Incarnation: 1, GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 4}}}
	core.Step(0, &Activate{Epoch: 1, Issuer: 7, State: protocol.ClockworkState{
		Models: []protocol.ModelSpec{a, b}, Profiles: []protocol.Profile{pa, pb}, Workers: []protocol.WorkerState{w}}})
	is := func(what string, want protocol.Capacity) {
		t.Helper()
		if got := core.Capacity(0); got != want {
			t.Errorf("%s: %+v, expected %+v", what, got, want)
		}
	}
	is("a worker without models", protocol.Capacity{Models: 2, Unavailable: 2})
	w.Models = []protocol.ModelSpec{a}
	core.Step(0, &WorkerJoined{State: w})
	is("with one of two", protocol.Capacity{GPUs: 1, Models: 2, Unavailable: 1})
	core.Step(0, &GPUHealth{ID: "w", Incarnation: 1, GPUs: []protocol.GPUBeat{{Stalled: true}}})
	is("stalled", protocol.Capacity{Models: 2, Unavailable: 2})
	core.Step(0, &GPUHealth{ID: "w", Incarnation: 1})
	w.Models = append(w.Models, b)
	core.Step(0, &WorkerJoined{State: w})
	is("with both", protocol.Capacity{GPUs: 1, Models: 2})
	core.Step(0, &WorkerLost{ID: "w"})
	is("lost", protocol.Capacity{Models: 2, Unavailable: 2})
}

// Pages are a worker's own: a model takes as many of them as its weights need of their size.
func TestPagesAreOfTheWorkersSize(t *testing.T) {
	c := newEngine(Defaults())
	c.decideBy(newClockworkPolicy(c, planners["clockwork"]))
	m, p := spec("a", 7, time.Millisecond, time.Millisecond)
	m.WeightsBytes = 100
	on := func(id string, page int64, total int) protocol.WorkerState {
		return protocol.WorkerState{ID: id, Incarnation: 1, PageSize: page, Models: []protocol.ModelSpec{m}, GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: total}}}
	}
	c.Step(0, &Activate{Epoch: 1, State: protocol.ClockworkState{Models: []protocol.ModelSpec{m}, Profiles: []protocol.Profile{p},
		Workers: []protocol.WorkerState{on("u", 16, 6), on("v", 1, 99)}}})
	out := c.Step(0, &Submit{protocol.Submission{ID: protocol.RequestID{Seq: 1}, Model: "a", Batch: 1, Budget: time.Second}})
	if len(out.Refusals) != 1 || out.Refusals[0].Refusal.Code != protocol.ModelTooLarge {
		t.Fatalf("too few pages of either size: %+v", out)
	}
	c.Step(0, &WorkerJoined{State: on("w", 1, 100)})
	out = c.Step(0, &Submit{protocol.Submission{ID: protocol.RequestID{Seq: 2}, Model: "a", Batch: 1, Budget: time.Second}})
	if len(out.Actions) != 1 || out.Actions[0].Worker != "w" {
		t.Fatalf("with enough of the smaller ones: %+v", out)
	}
	if g := c.gpus[2]; g.allocated != 100 {
		t.Errorf("%d pages are allocated", g.allocated)
	}
}
