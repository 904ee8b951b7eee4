package integration

import (
	"os"
	"testing"
	"time"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// TestARollingRestartCostsNothing stops and restarts each service, while
// requests are sent whose deadlines are longer than a takeover.
func TestARollingRestartCostsNothing(t *testing.T) {
	m := newMatrix(t, scene{})
	m.active()
	m.begin()
	for _, name := range []string{"worker-1", "scheduler-1", "controller-1", "profiler-1", "worker-2", "scheduler-2", "controller-2"} {
		service, err := m.stack.Service(name)
		m.must(err)
		m.must(service.Inflict(m.ctx, chaos.Stop, 0))
		m.must(service.Inflict(m.ctx, chaos.Restart, 0))
		m.must(m.stack.Await(m.ctx, name+" is back", func(s *protocol.StackState) bool {
			return len(s.Workers) == 2 && s.Scheduler == protocol.SchedulerActive
		}))
		m.flows(50)
	}
	e := chaos.EffectOf(m.traffic.Stop(2*time.Second), matrixSLO, 0)
	if e.OK+e.Late != e.Sent || e.Duplicates > 0 {
		t.Errorf("sent %d, served %d, late %d, errors %v, unanswered %d", e.Sent, e.OK, e.Late, e.Errors, e.Unanswered)
	}
}

// TestG12TheStackIsRebuiltFromItsWorkers loses the broker with all of its data
// and both controllers at once. The models that the workers hold are found
// again, and repeating one of the loads brings the stack to ACTIVE: no model is
// loaded twice.
func TestG12TheStackIsRebuiltFromItsWorkers(t *testing.T) {
	m := newMatrix(t, scene{})
	m.active()
	for _, name := range []string{"controller-1", "controller-2", "nats"} {
		service, err := m.stack.Service(name)
		m.must(err)
		m.must(service.Inflict(m.ctx, chaos.Kill, 0))
	}
	m.must(os.RemoveAll(m.stack.Config.Data))
	broker, err := m.stack.Service("nats")
	m.must(err)
	m.must(broker.Inflict(m.ctx, chaos.Restart, 0))
	m.must(m.stack.StartController("controller-3"))
	m.must(m.stack.Await(m.ctx, "what the workers hold", func(s *protocol.StackState) bool {
		return s.Stage == protocol.AwaitingModels && len(s.Models) == m.stack.Config.Copies
	}))
	path, copies := m.stack.Config.Model, m.stack.Config.Copies
	reply, fault := m.stack.Client.Load(m.ctx, protocol.LoadRequest{Path: path, Copies: &copies})
	if fault != nil || !reply.Held {
		t.Fatalf("the load again: %+v, %v", reply, fault)
	}
	m.must(m.stack.AwaitStage(m.ctx, protocol.Active))
	m.begin() // serves
	m.traffic.Stop(time.Second)
}
