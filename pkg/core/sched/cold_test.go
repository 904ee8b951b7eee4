package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// The original's load demand ends with the load budget, 25 ms. Requests with
// more time than that waited for ever once no new ones came, though a worker
// joined that could have served them.
func TestAWorkerThatComesAfterTheLoadBudgetIsGivenTheModel(t *testing.T) {
	for _, policy := range []string{"clockwork", "faithful"} {
		m, p := spec("a", 1, 2*time.Millisecond, time.Millisecond)
		state := protocol.ClockworkState{Models: []protocol.ModelSpec{m}, Profiles: []protocol.Profile{p}}
		core, _ := New(policy, Defaults())
		core.Step(0, &Activate{Epoch: 1, Issuer: 7, State: state})
		core.Step(0, &Submit{protocol.Submission{ID: protocol.RequestID{Door: 1, Seq: 1}, Model: "a", Batch: 1, Budget: 5 * time.Second}})
		joined := &WorkerJoined{protocol.WorkerState{ID: "w", Incarnation: 1, Models: state.Models,
			GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 4}}}}
		out := core.Step(1e9, joined)
		if len(out.Actions) != 1 || out.Actions[0].Action.Kind != protocol.LoadWeights {
			t.Errorf("%s: a second later a worker joins and gets %+v, expected a LoadWeights", policy, out.Actions)
		}
	}
}
