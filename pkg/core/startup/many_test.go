package startup

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// manyMachine is in a stage, with a worker that has answered.
func manyMachine(t *testing.T, stage protocol.Stage, models ...protocol.ModelSpec) *Machine {
	t.Helper()
	c := DefaultConfig()
	c.Issuer = 7
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	out := m.Step(0, WorkerSeen{ID: "w", Incarnation: 1})
	out = m.Step(0, Started{Stage: stage, Models: models})
	if len(out.Actions) != 1 || out.Actions[0].Action.Kind != protocol.GetWorkerState || out.Actions[0].Action.Lean {
		t.Fatalf("the first query is %+v; it asks for the models", out.Actions)
	}
	m.Step(0, WorkerAnswered{protocol.WorkerState{ID: "w", Incarnation: 1, Models: models}})
	return m
}

// A worker's models may be tens of thousands. They are asked for once; what the worker
// loaded since is known by its results.
func TestTheModelsOfAWorkerAreAskedForOnce(t *testing.T) {
	m := manyMachine(t, protocol.Active, protocol.ModelSpec{Name: "a", Path: "zoo/a"})
	out := m.Step(1, ServiceBeat{protocol.Heartbeat{Service: protocol.Scheduler, ID: "s", Epoch: 1, State: protocol.SchedulerReady}})
	if len(out.Actions) != 1 || !out.Actions[0].Action.Lean {
		t.Fatalf("before the activation it asks %+v", out.Actions)
	}
	out = m.Step(protocol.Time(time.Minute), Tick{})
	if len(out.Actions) != 1 || !out.Actions[0].Action.Lean {
		t.Fatalf("without an answer it asks %+v", out.Actions)
	}
	m.Step(protocol.Time(time.Minute), WorkerAnswered{protocol.WorkerState{ID: "w", Incarnation: 1}})
	if w := m.workers["w"]; len(w.holds) != 1 {
		t.Errorf("after an answer without models it holds %v", w.holds)
	}
}
