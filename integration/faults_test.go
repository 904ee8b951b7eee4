package integration

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// traffic sends requests one after the other from several senders until it is
// stopped, and counts what comes back.
type traffic struct {
	c      *cluster
	stopIt chan struct{}
	work   sync.WaitGroup

	sent, ok atomic.Int64
	mu       sync.Mutex
	errors   map[protocol.Code]int
	progress chan struct{} // a request was answered OK
}

func (c *cluster) traffic(slo time.Duration, models ...string) *traffic {
	x := &traffic{c: c, stopIt: make(chan struct{}), errors: map[protocol.Code]int{}, progress: make(chan struct{}, 1)}
	for _, model := range models {
		x.work.Go(func() {
			for {
				select {
				case <-x.stopIt:
					return
				default:
					x.one(model, slo)
				}
			}
		})
	}
	return x
}

func (x *traffic) one(model string, slo time.Duration) {
	x.sent.Add(1)
	_, refused := x.c.infer(model, slo, time.Second)
	if refused == nil {
		x.ok.Add(1)
		select {
		case x.progress <- struct{}{}:
		default:
		}
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.errors[refused.Code]++
}

// flows waits until n more requests were answered OK.
func (x *traffic) flows(n int64) {
	x.c.t.Helper()
	until, deadline := x.ok.Load()+n, time.After(patience)
	for x.ok.Load() < until {
		select {
		case <-x.progress:
		case <-deadline:
			x.mu.Lock()
			defer x.mu.Unlock()
			x.c.t.Fatalf("%d of %d requests were answered OK, errors %v", x.ok.Load(), x.sent.Load(), x.errors)
		}
	}
}

// stop ends the traffic and checks that the accounting closes: each request
// that was sent has one outcome.
func (x *traffic) stop() map[protocol.Code]int {
	x.c.t.Helper()
	close(x.stopIt)
	x.work.Wait()
	failed := 0
	for _, n := range x.errors {
		failed += n
	}
	if sent, ok := x.sent.Load(), x.ok.Load(); sent != ok+int64(failed) {
		x.c.t.Errorf("sent %d, OK %d, errors %v", sent, ok, x.errors)
	}
	return x.errors
}

// serving starts a cluster that serves four models on the given workers.
func serving(t *testing.T, workers ...string) (*cluster, []*process) {
	t.Helper()
	c := startCluster(t)
	c.controller()
	c.rest()
	var started []*process
	for _, w := range workers {
		started = append(started, c.worker(w))
	}
	c.awaitState("all workers", func(s *protocol.StackState) bool { return len(s.Workers) == len(workers) })
	c.load("zoo/resnet18_v2", 4)
	c.activated()
	return c, started
}

var fourModels = []string{"resnet18_v2-1", "resnet18_v2-2", "resnet18_v2-3", "resnet18_v2-4"}

// TestAWorkerThatComesAfterActivationServes: it is given the same models, and
// carries the load alone when the first one leaves.
func TestAWorkerThatComesAfterActivationServes(t *testing.T) {
	c, workers := serving(t, "w1")
	x := c.traffic(5*time.Second, fourModels...)
	x.flows(20)
	c.worker("w2")
	c.awaitState("the second worker with its models", func(s *protocol.StackState) bool { return len(s.Workers) == 2 })
	if code := workers[0].terminate(); code != 0 {
		t.Errorf("the first worker ended with code %d", code)
	}
	c.awaitState("the first worker gone", func(s *protocol.StackState) bool {
		return len(s.Workers) == 1 && s.Workers[0].ID == "w2"
	})
	x.flows(100)
	if failed := x.stop(); len(failed) > 0 {
		t.Errorf("requests failed: %v", failed)
	}
}

// TestG1AKilledWorkerLosesNoRequest: each is answered once; with time left, by
// another worker.
func TestG1AKilledWorkerLosesNoRequest(t *testing.T) {
	c, workers := serving(t, "w1", "w2")
	x := c.traffic(10*time.Second, fourModels...)
	x.flows(50)
	workers[0].Kill()
	x.flows(200)
	if failed := x.stop(); len(failed) > 0 {
		t.Errorf("requests failed: %v", failed)
	}
	c.awaitState("one worker left", func(s *protocol.StackState) bool { return len(s.Workers) == 1 })
}

// TestAKilledWorkerMayComeBack under its name, empty: it is another life, gets
// its models, and serves.
func TestAKilledWorkerMayComeBack(t *testing.T) {
	c, workers := serving(t, "w1")
	before := c.awaitState("w1", func(s *protocol.StackState) bool { return len(s.Workers) == 1 }).Workers[0].Incarnation
	workers[0].Kill()
	c.worker("w1")
	c.awaitState("another life of w1", func(s *protocol.StackState) bool {
		return len(s.Workers) == 1 && s.Workers[0].Incarnation != before
	})
	x := c.traffic(10*time.Second, fourModels...)
	x.flows(50)
	x.stop()
}

// TestG7AStandbySchedulerTakesOver: requests in flight are submitted again.
func TestG7AStandbySchedulerTakesOver(t *testing.T) {
	c := startCluster(t)
	c.controller()
	c.service("profiler", "--profile-iterations", "3")
	active := c.service("scheduler")
	c.worker("w1")
	c.load("zoo/resnet18_v2", 4)
	epoch := c.activated().Epoch
	c.service("scheduler") // stands by
	x := c.traffic(15*time.Second, fourModels...)
	x.flows(50)
	active.Kill()
	c.awaitState("a higher epoch", func(s *protocol.StackState) bool { return s.Epoch > epoch })
	x.flows(50)
	if failed := x.stop(); len(failed) > 0 {
		t.Errorf("requests failed: %v", failed)
	}
}

// TestASecondWorkerWithALivingNameExits non-zero and says why.
func TestASecondWorkerWithALivingNameExits(t *testing.T) {
	c, _ := serving(t, "w1")
	second := c.worker("w1")
	if code := second.wait(); code != 1 || !strings.Contains(second.Log(), "w1") {
		t.Errorf("exit code %d, log %s", code, second.Log())
	}
	if _, refused := c.infer("resnet18_v2-1", 5*time.Second, 0); refused != nil {
		t.Errorf("the first one: %v", refused)
	}
}

// TestServicesEndCleanly on SIGTERM, whatever the order.
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
