package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clockwork/pkg/chaos"
	"clockwork/pkg/protocol"
)

// The kill matrix: every service in every state it may be in, by every fault,
// with requests under way. Each cell first shows that the fault landed and that
// load was there, then that the stack heals and kept what it promises. make test
// runs the cells of core, make matrix all of them.

var fullMatrix = flag.Bool("matrix", false, "run every cell of the kill matrix, not its core alone")

// outage is how long a fault lasts that has an end.
const outage = 3 * time.Second

// scene is the state of the stack in which a service is struck.
type scene struct {
	name    string
	service string
	// prepare brings the stack there, finish to ACTIVE if it is not.
	prepare, finish func(*matrix)
	pages           int
}

// faults are what may befall a service. A broker that is killed is started
// again: nothing works without one.
func (s scene) faults() []chaos.Fault {
	if s.service == "nats" {
		return []chaos.Fault{chaos.Restart, chaos.Pause}
	}
	return []chaos.Fault{chaos.Kill, chaos.Pause, chaos.Partition}
}

// core are the cells of make test.
var core = []string{
	"controller active/kill", "scheduler active/kill", "scheduler active/pause", "worker executing/kill", "worker loading/kill",
	"nats/restart", "controller in PROFILING/kill",
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
	{name: "nats", service: "nats", prepare: (*matrix).active},
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

// matrix is one cell under way.
type matrix struct {
	t       *testing.T
	ctx     context.Context
	stack   *chaos.Stack
	traffic *chaos.Traffic

	mu     sync.Mutex
	stages []protocol.Stage // as events told them
}

// matrixSLO leaves time for a takeover.
const matrixSLO = 5 * time.Second

func strike(t *testing.T, s scene, f chaos.Fault) {
	m := newMatrix(t, s)
	s.prepare(m)
	m.begin()
	service, err := m.stack.Service(s.service)
	if err != nil {
		t.Fatal(err)
	}
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
	patience := 2 * time.Second
	if s.finish != nil {
		patience = 15 * time.Second // a buffered one may take as long
	}
	outcomes := m.traffic.Stop(patience)
	m.check(s, f, chaos.EffectOf(outcomes, matrixSLO, began), unread(outcomes, began, ended))
}

func newMatrix(t *testing.T, s scene) *matrix {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	m := &matrix{t: t, ctx: ctx, stack: &chaos.Stack{Config: chaos.Config{
		Binary: binary, Data: filepath.Join(t.TempDir(), "nats"), Workers: 2, GPUs: 1, Pages: s.pages,
		Model: "zoo/resnet18_v2", Copies: 6, LoadIdle: 700 * time.Millisecond,
	}}}
	t.Cleanup(func() {
		m.stack.Close()
		if t.Failed() {
			for _, service := range m.stack.Services {
				t.Logf("--- %s\n%s", service.Name, service.Process.Log())
			}
		}
	})
	m.must(m.stack.StartBroker(ctx))
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

// The scenes. Where a service must be missing for a stage to last, finish brings
// it.

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

// loading lasts for as long as load-idle says.
func (m *matrix) loading() {
	m.stack.Config.LoadIdle = 5 * time.Second
	m.awaiting()
	m.must(m.stack.Load(m.ctx))
	m.must(m.stack.AwaitStage(m.ctx, protocol.Loading))
}

func (m *matrix) fromLoading() { m.fromProfiling() }

// profiling lasts for as long as there is no profiler.
func (m *matrix) profiling() {
	m.awaiting()
	m.must(m.stack.Load(m.ctx))
	m.must(m.stack.AwaitStage(m.ctx, protocol.Profiling))
}

func (m *matrix) fromProfiling() {
	m.must(m.stack.StartProfiler("profiler-1"))
	m.fromMeasuring()
}

// measuring takes a while for a large model.
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

// active is a whole stack that serves.
func (m *matrix) active() {
	m.alone()
	m.must(m.stack.StartScheduler("scheduler-1"))
	m.must(m.stack.StartProfiler("profiler-1"))
	m.must(m.stack.StartWorker("worker-1"))
	m.must(m.stack.StartWorker("worker-2"))
	m.must(m.stack.Await(m.ctx, "two workers and a scheduler", func(s *protocol.StackState) bool {
		return s.Stage == protocol.AwaitingModels && len(s.Workers) == 2 && s.Scheduler == protocol.SchedulerStandby
	}))
	m.must(m.stack.StartScheduler("scheduler-2"))
	m.must(m.stack.Load(m.ctx))
	m.must(m.stack.AwaitStage(m.ctx, protocol.Active))
}

// idle has a worker that no request needs: the other one does them all.
func (m *matrix) idle() {
	m.stack.Config.Copies = 1
	m.active()
}

// begin sends requests, and in ACTIVE shows that they are served.
func (m *matrix) begin() {
	m.t.Helper()
	load := chaos.Load{Rate: 100, SLO: matrixSLO}
	name := strings.TrimPrefix(m.stack.Config.Model, "zoo/")
	for i := range m.stack.Config.Copies {
		if load.Models = append(load.Models, fmt.Sprintf("%s-%d", name, i+1)); m.stack.Config.Copies == 1 {
			load.Models[i] = name
		}
	}
	traffic, err := chaos.StartTraffic(m.stack.URL, load)
	m.must(err)
	m.traffic = traffic
	state, fault := m.stack.Client.State(m.ctx)
	if fault != nil {
		m.t.Fatal(fault)
	}
	if state.Stage == protocol.Active {
		m.flows(100)
	} else {
		m.must(m.stack.Await(m.ctx, "requests that wait", func(s *protocol.StackState) bool { return s.Buffered > 20 }))
	}
}

// flows waits until so many more requests are served.
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

// landing watches a service while a fault befalls it; the returned function
// fails if nothing was to be seen of it.
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

// check holds what came of a cell against the guarantees.
func (m *matrix) check(s scene, f chaos.Fault, e chaos.Effect, unread int) {
	m.t.Helper()
	m.t.Logf("sent %d, served %d, late %d, errors %v, unsent %d, unanswered %d; healed %v after %v", e.Sent, e.OK, e.Late, e.Errors, e.Unsent, e.Unanswered, e.Healed, e.Heal)
	if e.Duplicates > 0 {
		m.t.Errorf("G1: %d requests were answered more than once", e.Duplicates)
	}
	// Who holds requests takes them along: the broker what is on its way, and a
	// front door that is killed what it has not read.
	mayTake := 0
	switch {
	case s.service == "nats":
		mayTake = e.Sent
	case s.service == "controller" && f == chaos.Kill:
		mayTake = unread
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

// checkPages: G6, after quiet no GPU holds more than its models take.
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

// TestARollingRestartCostsNothing: each service is told to stop, and started again,
// while requests flow whose deadlines are longer than a takeover takes.
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

// TestG12TheStackIsRebuiltFromItsWorkers: the broker with all of its data and both
// controllers are gone at once. What the workers hold is there again, and one of
// the loads, asked for again, brings the stack to ACTIVE: nothing is loaded twice.
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
