package integration

import (
	"strings"
	"testing"
	"time"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// These tests let workers join and leave. Other faults of workers are in the
// kill matrix.

// TestAWorkerThatComesAfterActivationServes checks that a late worker gets the
// same models, and carries the load alone when the first worker leaves.
func TestAWorkerThatComesAfterActivationServes(t *testing.T) {
	m := newMatrix(t, scene{workers: 1})
	m.active()
	m.begin()
	m.must(m.stack.StartWorker("worker-2"))
	m.must(m.stack.Await(m.ctx, "the second worker with its models", func(s *protocol.StackState) bool { return len(s.Workers) == 2 }))
	first, err := m.stack.Service("worker-1")
	m.must(err)
	m.must(first.Inflict(m.ctx, chaos.Stop, 0))
	m.must(m.stack.Await(m.ctx, "the first worker gone", func(s *protocol.StackState) bool {
		return len(s.Workers) == 1 && s.Workers[0].ID == "worker-2"
	}))
	m.flows(100)
	if e := chaos.EffectOf(m.traffic.Stop(2*time.Second), matrixSLO, 0); e.OK != e.Sent {
		t.Errorf("sent %d, served %d, late %d, errors %v", e.Sent, e.OK, e.Late, e.Errors)
	}
}

// TestASecondWorkerWithALivingNameExits checks that it exits with a non-zero
// code and names the reason.
func TestASecondWorkerWithALivingNameExits(t *testing.T) {
	c := startCluster(t)
	c.controller()
	c.rest("w1")
	c.load("zoo/resnet18_v2", 1)
	c.activated()
	second := c.worker("w1")
	if code := second.wait(); code != 1 || !strings.Contains(second.Log(), "w1") {
		t.Errorf("exit code %d, log %s", code, second.Log())
	}
	if _, refusal := c.infer("resnet18_v2", 5*time.Second, 0); refusal != nil {
		t.Errorf("the first one: %v", refusal)
	}
}

// TestServicesEndCleanly checks the exit on SIGTERM, in any order.
func TestServicesEndCleanly(t *testing.T) {
	c := startCluster(t)
	processes := map[string]*process{"controller": c.controller(), "profiler": c.service("profiler"), "scheduler": c.service("scheduler"), "worker": c.worker("w1")}
	c.load("zoo/resnet18_v2", 1)
	c.activated()
	for name, p := range processes {
		if code := p.terminate(); code != 0 {
			t.Errorf("%s ended with code %d: %s", name, code, p.Log())
		}
	}
}
