package integration

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// The kill matrix injects every fault into every service in every state, with
// requests under way. Each cell first checks that the fault took effect and that
// there was load, then that the stack heals and keeps its guarantees. make test
// runs the core cells, make matrix all of them.

var fullMatrix = flag.Bool("matrix", false, "run every cell of the kill matrix, not its core alone")

// outage is the duration of temporary faults.
const outage = 3 * time.Second

// scene is the state of the stack in which a fault is injected into a service.
type scene struct {
	name    string
	service string
	// prepare brings the stack into this state, finish to ACTIVE if it is not there.
	prepare, finish func(*matrix)
	pages           int
	workers         int     // 0 for two
	drift           float64 // of the workers' clocks
	cluster         bool    // three brokers; near: all are connected to the leader
	near            bool
	only            []chaos.Fault // nil for the result of faults
}

// faults returns the faults for a service. A killed service without a second
// instance is restarted: otherwise nothing would work.
func (s scene) faults() []chaos.Fault {
	switch {
	case s.only != nil:
		return s.only
	case s.service == "nats":
		return []chaos.Fault{chaos.Restart, chaos.Pause}
	}
	return []chaos.Fault{chaos.Kill, chaos.Pause, chaos.Partition}
}

// lossless reports whether every request of the cell must be served: its
// deadline leaves time and no process that holds requests is lost.
func (s scene) lossless(f chaos.Fault) bool {
	return s.finish == nil && s.service != "nats" && !s.near && s.workers == 0 && !(s.service == "controller" && f == chaos.Kill)
}

// core are the cells of make test.
var core = []string{
	"controller active/kill", "scheduler active/kill", "scheduler active/pause", "worker executing/kill", "worker loading/kill",
	"nats/restart", "controller in PROFILING/kill", "a worker's clock/step", "leader of three nats, others connected elsewhere/kill",
}

var scenes = []scene{
	{name: "controller in QUERYING", service: "controller", prepare: (*matrix).alone, finish: (*matrix).fromQuerying},
	{name: "controller in AWAITING_MODELS", service: "controller", prepare: (*matrix).awaiting, finish: (*matrix).fromAwaiting},
	{name: "controller in LOADING", service: "controller", prepare: (*matrix).loading, finish: (*matrix).fromLoading},
	{name: "controller in PROFILING", service: "controller", prepare: (*matrix).profiling, finish: (*matrix).fromProfiling},
	{name: "controller active", service: "controller", prepare: (*matrix).active},
	{name: "profiler measuring", service: "profiler", prepare: (*matrix).measuring, finish: (*matrix).fromMeasuring},
	{name: "scheduler active", service: "scheduler", prepare: (*matrix).active},
	{name: "scheduler standing by", service: "scheduler-2", prepare: (*matrix).active},
	{name: "worker idle", service: "worker-2", prepare: (*matrix).idle},
	{name: "worker executing", service: "worker-1", prepare: (*matrix).active},
	{name: "worker loading", service: "worker-1", prepare: (*matrix).active, pages: 12},
	{name: "the only worker", service: "worker-1", prepare: (*matrix).active, workers: 1, only: []chaos.Fault{chaos.Restart}},
	{name: "a worker's clock", service: "worker-1", prepare: (*matrix).active, only: []chaos.Fault{chaos.Step}},
	{name: "a worker's clock that gains 1 %", service: "worker-1", prepare: (*matrix).active, drift: 0.01, only: []chaos.Fault{chaos.Step}},
	{name: "nats", service: "nats", prepare: (*matrix).active},
	{name: "leader of three nats, others connected to it", prepare: (*matrix).led, cluster: true, near: true, only: []chaos.Fault{chaos.Kill}},
	{name: "leader of three nats, others connected elsewhere", prepare: (*matrix).led, cluster: true, only: []chaos.Fault{chaos.Kill}},
}

func TestKillMatrix(t *testing.T) {
	cells := 0
	for _, s := range scenes {
		for _, f := range s.faults() {
			name := s.name + "/" + f.String()
			if cells++; !*fullMatrix && !slices.Contains(core, name) {
				continue
			}
			t.Run(name, func(t *testing.T) { strike(t, s, f) })
		}
	}
	if !*fullMatrix {
		t.Logf("%d of %d cells; make matrix runs all", len(core), cells)
	}
}

// matrix is one running cell.
type matrix struct {
	t       *testing.T
	ctx     context.Context
	stack   *chaos.Stack
	cluster *chaos.Cluster // nil for one broker
	struck  *chaos.Server  // of the cluster
	epoch   uint64         // before the fault
	traffic *chaos.Traffic

	mu     sync.Mutex
	stages []protocol.Stage // as reported by events
}

// calm is the minimum time for which requests are sent after a fault: it takes a
// second to see whether the stack has healed, and longer if it has not.
const calm = 2500 * time.Millisecond

// matrixSLO leaves time for a takeover. promptly is the latency that a waiting
// user would accept; it defines the time to heal and the requests lost until
// then.
const (
	matrixSLO = 10 * time.Second
	promptly  = 250 * time.Millisecond
)

func strike(t *testing.T, s scene, f chaos.Fault) {
	m := newMatrix(t, s)
	s.prepare(m)
	m.begin()
	service := m.victim(s)
	began := time.Since(m.traffic.Began)
	landed := m.landing(service, f)
	if err := service.Inflict(m.ctx, f, outage); err != nil {
		t.Fatal(err)
	}
	ended := time.Since(m.traffic.Began)
	landed()
	if s.finish != nil {
		s.finish(m)
	}
	m.flows(200)
	time.Sleep(time.Until(m.traffic.Began.Add(ended + calm)))
	if s.cluster {
		m.storesAgain(ended)
	}
	if s.service == "scheduler" {
		m.must(m.stack.Await(m.ctx, "G7: a higher epoch", func(v *protocol.StackState) bool { return v.Epoch > m.epoch }))
	}
	patience := 2 * time.Second
	if s.finish != nil {
		patience = 15 * time.Second // a buffered request may take as long
	}
	outcomes := m.traffic.Stop(patience)
	within := readWithin
	if s.near {
		within = reachWithin
	}
	effect := chaos.EffectOf(outcomes, matrixSLO, began)
	m.check(s, f, effect, unread(outcomes, began, ended, within))
	from := began
	if f == chaos.Step {
		from = ended // the backward step is worse: actions planned before it wait until the clock catches up
	}
	tell(t, s.name+"/"+f.String(), effect, chaos.EffectOf(outcomes, promptly, from))
}

// victim returns the service to inject the fault into.
func (m *matrix) victim(s scene) *chaos.Service {
	m.t.Helper()
	if s.cluster {
		return m.struck.Service
	}
	service, err := m.stack.Service(s.service)
	m.must(err)
	return service
}

// failureLog is how much of a service's last output is shown for a failed cell,
// in bytes.
const failureLog = 4 << 10

func newMatrix(t *testing.T, s scene) *matrix {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	m := &matrix{t: t, ctx: ctx, stack: &chaos.Stack{Config: chaos.Config{
		Binary: binary, Data: filepath.Join(t.TempDir(), "nats"), Workers: cmp.Or(s.workers, 2), GPUs: 1, Pages: s.pages,
		Model: "zoo/resnet18_v2", Copies: 6, LoadIdle: 700 * time.Millisecond, ClockDrift: s.drift,
	}}}
	t.Cleanup(func() {
		m.stack.Close()
		if t.Failed() {
			for _, service := range m.stack.Services {
				log := service.Process.Log()
				t.Logf("--- %s\n%s", service.Name, log[max(0, len(log)-failureLog):])
			}
		}
	})
	var err error
	if s.cluster {
		m.cluster, err = m.stack.StartCluster(ctx, s.near)
	} else {
		err = m.stack.StartBroker(ctx)
	}
	m.must(err)
	stop, err := m.stack.Client.Events(m.record)
	m.must(err)
	t.Cleanup(stop)
	return m
}

func (m *matrix) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *matrix) record(e protocol.Event) {
	if stage, ok := protocol.ParseStage(e.Stage); ok && e.Kind == protocol.EventStage {
		m.mu.Lock()
		m.stages = append(m.stages, stage)
		m.mu.Unlock()
	}
}

// begin starts sending requests, and in ACTIVE checks that they are served.
func (m *matrix) begin() {
	m.t.Helper()
	m.traffic = m.startTraffic(chaos.Load{Rate: 100, SLO: matrixSLO})
	state, fault := m.stack.Client.State(m.ctx)
	if fault != nil {
		m.t.Fatal(fault)
	}
	m.epoch = state.Epoch
	if state.Stage == protocol.Active {
		m.flows(100)
	} else {
		m.must(m.stack.Await(m.ctx, "requests that wait", func(s *protocol.StackState) bool { return s.Buffered > 20 }))
	}
}

// models returns the names of the loaded models.
func (m *matrix) models() (names []string) {
	name := strings.TrimPrefix(m.stack.Config.Model, "zoo/")
	if m.stack.Config.Copies == 1 {
		return []string{name}
	}
	for i := range m.stack.Config.Copies {
		names = append(names, fmt.Sprintf("%s-%d", name, i+1))
	}
	return names
}

// flows waits until n more requests have been served.
func (m *matrix) flows(n int) {
	m.t.Helper()
	until := m.traffic.OK() + n
	for m.traffic.OK() < until {
		if m.ctx.Err() != nil {
			m.t.Fatalf("%d requests were served, %d are missing", m.traffic.OK(), until-m.traffic.OK())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// landing watches a service during a fault; the returned function fails the test
// if the fault had no visible effect.
func (m *matrix) landing(s *chaos.Service, f chaos.Fault) (landed func()) {
	m.t.Helper()
	struck, held := s.Process, 0
	if s.Proxy != nil {
		held = s.Proxy.Held()
	}
	stopped := make(chan bool, 1)
	if f == chaos.Pause {
		go func() {
			time.Sleep(outage / 2)
			stopped <- struck.Stopped()
		}()
	}
	return func() {
		m.t.Helper()
		ok := false
		switch f {
		case chaos.Pause:
			ok = <-stopped
		case chaos.Partition:
			ok = s.Proxy.Held() > held
		case chaos.Step:
			for !ok && m.ctx.Err() == nil { // the worker logs it right after
				ok = strings.Count(struck.Log(), "clock stepped by --clock-step") == 2
				time.Sleep(time.Millisecond)
			}
		default:
			select {
			case <-struck.Done():
				ok = true
			default:
			}
		}
		if !ok {
			m.t.Fatalf("%s of %s did not land: the cell proves nothing", f, s.Name)
		}
	}
}

// check checks the outcome of a cell against the guarantees.
func (m *matrix) check(s scene, f chaos.Fault, e chaos.Effect, unread int) {
	m.t.Helper()
	if e.Duplicates > 0 {
		m.t.Errorf("G1: %d requests were answered more than once", e.Duplicates)
	}
	// A lost process loses the requests that it holds: the broker those on their
	// way, a killed front door those that it has not read.
	mayTake := 0
	switch {
	case s.service == "nats":
		mayTake = e.Sent
	case s.near, s.service == "controller" && f == chaos.Kill:
		mayTake = unread
	}
	if s.lossless(f) && e.OK != e.Sent {
		m.t.Errorf("%d of %d requests were served: %d late, errors %v", e.OK, e.Sent, e.Late, e.Errors)
	}
	if e.Unanswered > mayTake {
		m.t.Errorf("G1: %d requests were never answered, %d of them may have been unread", e.Unanswered, mayTake)
	}
	for code := range e.Errors {
		if !slices.Contains(tolerated, code) {
			m.t.Errorf("%d requests failed with %s, which nobody should see here", e.Errors[code], code)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.IsSorted(m.stages) {
		m.t.Errorf("G4: the stages were %v", m.stages)
	}
	m.checkPages()
}

// tolerated are the codes that a fault may cost a request.
var tolerated = []protocol.Code{
	protocol.DeadlineExceeded, protocol.DeadlineUnmeetable, protocol.SchedulerLost, protocol.WorkerLost, protocol.BufferTimeout,
	protocol.StateUnavailable, protocol.ShuttingDown, protocol.FrontDoorLost,
}

// checkPages checks G6: after the traffic no GPU holds more pages than its
// models take.
func (m *matrix) checkPages() {
	m.t.Helper()
	m.must(m.stack.Await(m.ctx, "GPUs whose pages add up", func(s *protocol.StackState) bool {
		pages := map[string]int{}
		for _, model := range s.Models {
			pages[model.Name] = model.Pages
		}
		for _, w := range s.Workers {
			for _, g := range w.GPUs {
				sum := 0
				for _, name := range g.Models {
					sum += pages[name]
				}
				if sum != g.PagesUsed || g.PagesUsed > g.PagesTotal {
					return false
				}
			}
		}
		return len(s.Workers) > 0
	}))
}
