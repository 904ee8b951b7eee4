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
		if err := ask(1, "a"); err != nil {
			t.Errorf("%s: a: %v", policy, err)
		}
		if err := ask(2, "b"); err == nil || err.Code != protocol.ModelUnavailable {
			t.Errorf("%s: b: %v", policy, err)
		}
		w.Models = append(w.Models, b)
		core.Step(0, &WorkerJoined{State: w})
		if err := ask(3, "b"); err != nil {
			t.Errorf("%s: b, once it is there: %v", policy, err)
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
