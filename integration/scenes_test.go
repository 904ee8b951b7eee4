package integration

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/protocol"
)

// The scenes. If a stage only lasts while a service is missing, finish starts
// that service.

func (m *matrix) alone() {
	m.must(m.stack.StartController("controller-1"))
	m.must(m.stack.AwaitStage(m.ctx, protocol.Querying))
	m.must(m.stack.StartController("controller-2"))
}

func (m *matrix) fromQuerying() {
	m.must(m.stack.StartWorker("worker-1"))
	m.must(m.stack.StartWorker("worker-2"))
	m.must(m.stack.AwaitStage(m.ctx, protocol.AwaitingModels))
	m.fromAwaiting()
}

func (m *matrix) awaiting() {
	m.alone()
	m.must(m.stack.StartWorker("worker-1"))
	m.must(m.stack.StartWorker("worker-2"))
	m.must(m.stack.Await(m.ctx, "two workers", func(s *protocol.StackState) bool {
		return s.Stage == protocol.AwaitingModels && len(s.Workers) == 2
	}))
}

func (m *matrix) fromAwaiting() {
	m.must(m.stack.Load(m.ctx))
	m.fromLoading()
}

// loading stays in LOADING for load-idle.
func (m *matrix) loading() {
	m.stack.Config.LoadIdle = 5 * time.Second
	m.awaiting()
	m.must(m.stack.Load(m.ctx))
	m.must(m.stack.AwaitStage(m.ctx, protocol.Loading))
}

func (m *matrix) fromLoading() { m.fromProfiling() }

// profiling stays in PROFILING while there is no profiler.
func (m *matrix) profiling() {
	m.awaiting()
	m.must(m.stack.Load(m.ctx))
	m.must(m.stack.AwaitStage(m.ctx, protocol.Profiling))
}

func (m *matrix) fromProfiling() {
	m.must(m.stack.StartProfiler("profiler-1"))
	m.fromMeasuring()
}

// measuring takes a while, because the model is large.
func (m *matrix) measuring() {
	m.stack.Config.Model, m.stack.Config.Copies = "zoo/resnet101_v2", 1
	m.awaiting()
	m.must(m.stack.StartProfiler("profiler-1"))
	m.must(m.stack.StartProfiler("profiler-2"))
	m.must(m.stack.Load(m.ctx))
	m.must(m.stack.AwaitStage(m.ctx, protocol.Profiling))
}

func (m *matrix) fromMeasuring() {
	m.must(m.stack.StartScheduler("scheduler-1"))
	m.must(m.stack.StartScheduler("scheduler-2"))
	m.must(m.stack.AwaitStage(m.ctx, protocol.Active))
}

// active is a complete stack in ACTIVE.
func (m *matrix) active() {
	m.alone()
	m.must(m.stack.StartScheduler("scheduler-1"))
	m.must(m.stack.StartProfiler("profiler-1"))
	for i := range m.stack.Config.Workers {
		m.must(m.stack.StartWorker(fmt.Sprintf("worker-%d", i+1)))
	}
	m.must(m.stack.Await(m.ctx, "workers and a scheduler", func(s *protocol.StackState) bool {
		return s.Stage == protocol.AwaitingModels && len(s.Workers) == m.stack.Config.Workers && s.Scheduler == protocol.Standby
	}))
	m.must(m.stack.StartScheduler("scheduler-2"))
	m.must(m.stack.Load(m.ctx))
	m.must(m.stack.AwaitStage(m.ctx, protocol.Active))
}

// idle has a worker without requests: the other worker executes all of them.
func (m *matrix) idle() {
	m.stack.Config.Copies = 1
	m.active()
}

// led is a complete stack on a cluster of three brokers, one of which leads all
// streams.
func (m *matrix) led() {
	m.active()
	leader, err := m.cluster.AwaitLeader(m.ctx)
	m.must(err)
	m.must(m.cluster.LeadAll(m.ctx, m.stack.Client.Conn(), leader))
	m.struck = leader
}

// probe writes to the store.
func probe(ctx context.Context, js jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	bucket, err := js.KeyValue(ctx, "clockwork_state")
	if err == nil {
		_, err = bucket.Put(ctx, "probe", nil)
	}
	return err
}

// storesAgain waits until another broker leads and writes to the store succeed.
func (m *matrix) storesAgain(since time.Duration) {
	m.t.Helper()
	js, err := jetstream.New(m.stack.Client.Conn())
	m.must(err)
	for {
		err := probe(m.ctx, js)
		leader, unled := m.cluster.AwaitLeader(m.ctx)
		if err == nil && unled == nil && leader != m.struck {
			break
		}
		if m.ctx.Err() != nil {
			m.t.Fatalf("JetStream does not come back: %v, %v", err, unled)
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.t.Logf("JetStream stored again %v after %s was gone, at the latest", (time.Since(m.traffic.Began) - since).Round(100*time.Millisecond), m.struck.Name)
}
