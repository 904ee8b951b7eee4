package sim

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// controller is the simulated shell around pkg/core/startup: it carries out the
// machine's outputs with delays and feeds back their results as events. store
// survives restarts. In a run without a startup it finds the store as a startup leaves it.
type controller struct {
	world    *world
	machine  *startup.Machine // nil while it is down
	term     uint64           // counts starts; operations of an earlier term have no effect
	alarm    protocol.Time    // when a Tick is due
	workers  workerWatch
	store    store
	profiler *profiler
	loads    []load
	// atOnce: what the machine asks and says takes no time; answers are those to it.
	atOnce  bool
	answers []startup.Event
}

// load is one load of the workload.
type load struct {
	workload.Load
	asked    uint64 // the term in which its client sent it
	answered bool
}

// store is the content of the key-value store.
type store struct {
	stage       protocol.Stage
	models      map[string]protocol.ModelSpec
	torn        []string // models of stores that were not finished
	writing     map[uint64][]protocol.ModelSpec
	profiles    map[string]protocol.Profile // by digest; all GPUs are of one type
	quarantined []startup.Quarantine
}

const (
	writeTime    = 2 * time.Millisecond // of the store
	loadsAtATime = 64
	// settleTime is how long a new controller receives heartbeats in ACTIVE.
	settleTime = 3 * time.Second
	// clientPause is how long a client waits before it sends a load again.
	clientPause = time.Second
	// startupWithin bounds a startup.
	startupWithin = time.Hour
)

func newController(s *world) *controller {
	c := &controller{world: s, store: store{
		models: map[string]protocol.ModelSpec{}, writing: map[uint64][]protocol.ModelSpec{}, profiles: map[string]protocol.Profile{},
	}}
	c.profiler = newProfiler(s)
	c.watchWorkers()
	return c
}

// watchWorkers begins to follow the workers, of which it knows none.
func (c *controller) watchWorkers() {
	c.workers = workerWatch{report: func(w liveness.Change) { c.step(startup.OfWorker(w)) }}
}

// bringUp has a stack serve that has been through its startup, with exact profiles. Until it
// does, no time passes.
func (c *controller) bringUp() {
	c.store.stage = protocol.Active
	for i := range c.world.models {
		m := &c.world.models[i]
		c.store.models[m.Name] = m.ModelSpec
		c.store.profiles[m.Digest] = profile(m, c.world.config.Noise.Spread)
	}
	c.atOnce = true
	c.start()
	c.atOnce = false
	if c.world.faults != nil { // otherwise nothing happens that a controller is there for
		alarm := c.alarm
		c.alarm = protocol.Never
		c.wakeAt(alarm)
		c.beat(c.term, c.world.now)
	}
}

// start begins a term with the content of the store.
func (c *controller) start() {
	config := startup.DefaultConfig()
	c.term++
	config.Issuer = c.term<<8 + controllerIssuer
	config.MaxBatch = c.world.config.MaxBatch
	machine, err := startup.New(config)
	if err != nil {
		panic(err) // the config is our own
	}
	c.machine, c.alarm = machine, protocol.Never
	c.watchWorkers()
	for _, token := range slices.Sorted(maps.Keys(c.store.writing)) {
		for _, m := range c.store.writing[token] {
			c.store.torn = append(c.store.torn, m.Name)
		}
	}
	clear(c.store.writing)
	for _, kind := range []protocol.ServiceKind{protocol.Profiler, protocol.Scheduler, protocol.FrontDoor} {
		c.step(startup.ServiceBeat{Heartbeat: protocol.Heartbeat{Service: kind, ID: "1", State: protocol.FrontDoorOpen}}) // for good: what is missing is only told
	}
	c.step(startup.Started{
		Stage: c.store.stage, Models: sorted(c.store.models), Torn: c.store.torn, Profiles: sorted(c.store.profiles), Quarantined: c.store.quarantined,
	})
	for _, h := range c.world.hosts {
		if c.atOnce || c.term > 1 && c.world.faults == nil { // with faults, heartbeats arrive anyway
			c.workers.heard(protocol.Heartbeat{ID: h.ID(), Incarnation: h.Incarnation()})
		}
	}
	if len(c.loads) > 0 {
		c.world.later(clientPause, c.ask)
	}
	c.beat(c.term, c.world.now)
}

// sorted returns the values of a map, sorted by key.
func sorted[T any](of map[string]T) (values []T) {
	for _, key := range slices.Sorted(maps.Keys(of)) {
		values = append(values, of[key])
	}
	return values
}

// stop ends the term, as a crash does; false if it had ended already.
func (c *controller) stop() bool {
	up := c.machine != nil
	c.machine = nil
	c.term++
	return up
}

// beat delivers the heartbeats of the profiler and the scheduler for as long as
// the controller needs them.
func (c *controller) beat(term uint64, since protocol.Time) {
	if term != c.term || c.world.serving() && c.world.now > since.Add(settleTime) {
		return
	}
	c.step(startup.ServiceBeat{Heartbeat: c.profiler.heartbeat(c.jobs())})
	if w := c.world; !w.scheduler.silent() {
		h := protocol.Heartbeat{Service: protocol.Scheduler, ID: "1", Epoch: w.epoch, State: protocol.SchedulerReady}
		if w.serving() {
			h.State = protocol.SchedulerActive
		}
		c.step(startup.ServiceBeat{Heartbeat: h})
	}
	if c.atOnce {
		return
	}
	c.world.background(protocol.HeartbeatEvery, func() { c.beat(term, since) })
}

// jobs is the offset that this term adds to its job ids in messages.
func (c *controller) jobs() uint64 { return c.term << 32 }

// measured takes the profiler's report.
func (c *controller) measured(r *protocol.ProfileReport) {
	done := startup.ProfilingDone{Job: r.ID - c.jobs(), Profiles: r.Profiles}
	for _, f := range r.Failures {
		done.Quarantined = append(done.Quarantined, startup.Quarantine{Digest: f.Digest, Reason: f.GPUType + ": " + f.Reason})
	}
	c.step(done)
}

// ask sends the clients' unanswered loads, a few at a time.
func (c *controller) ask() {
	open := 0
	for i := range c.loads {
		l := &c.loads[i]
		switch {
		case l.answered:
			continue
		case open == loadsAtATime || c.machine == nil:
			return
		case l.asked != c.term:
			l.asked = c.term
			copies := l.Copies
			c.step(startup.LoadRequested{Token: c.term<<32 + uint64(i), Request: protocol.LoadRequest{Path: l.Path, Name: l.Name, Copies: &copies}})
		}
		open++
	}
}

// reply delivers the answer of a load to its client.
func (c *controller) reply(r startup.Reply) {
	l := &c.loads[r.Token&(1<<32-1)]
	if r.Error == nil {
		l.answered = true
		c.world.report.Startup.Loads++
		c.ask()
		return
	}
	if !r.Error.Code.Row().Retryable {
		c.world.broken("G5", "the load of %d %s was refused: %v", l.Copies, l.Path, r.Error)
		return
	}
	l.asked = 0
	c.world.later(clientPause, c.ask)
}

// step applies one event to the machine and carries out its output, and takes the answers
// that come without delay.
func (c *controller) step(e startup.Event) {
	if c.machine == nil {
		return
	}
	c.carryOut(c.machine.Step(c.world.now, e))
	for len(c.answers) > 0 {
		e, c.answers = c.answers[0], c.answers[1:]
		c.carryOut(c.machine.Step(c.world.now, e))
	}
}

func (c *controller) carryOut(out startup.Output) {
	for _, a := range out.Actions {
		h := c.world.byWorker[a.Worker]
		if c.atOnce {
			c.answers = append(c.answers, startup.WorkerAnswered{State: h.state()})
			continue
		}
		c.world.command(h, a.Action, func(r protocol.Result) { c.step(startup.LoadResult{Result: r}) })
	}
	for _, r := range out.Replies {
		c.world.later(c.world.network.delay(), func() { c.reply(r) })
	}
	c.write(out)
	if job := out.StartProfiling; job != nil {
		c.profiler.begin(*job, c.jobs())
	}
	if out.Activate != nil {
		c.activate(*out.Activate)
	}
	for _, w := range append(out.JoinWorkers, out.JoinAgain...) {
		c.announce(w)
	}
	c.wakeAt(out.Wake)
}

// activate starts the scheduler's epoch. Without a startup, models are in the order of the
// workload and workers in that of their numbers: the scheduler breaks ties by it, and runs stay
// comparable with those that were made when no controller had a hand in it.
func (c *controller) activate(state protocol.ClockworkState) {
	s := c.world
	if !s.config.Startup.On {
		models, workers := map[string]int{}, map[string]int{}
		for i := range s.specs {
			models[s.specs[i].Name] = i
		}
		for i, h := range s.hosts {
			workers[h.ID()] = i
		}
		slices.SortFunc(state.Models, func(a, b protocol.ModelSpec) int { return cmp.Compare(models[a.Name], models[b.Name]) })
		slices.SortFunc(state.Workers, func(a, b protocol.WorkerState) int { return cmp.Compare(workers[a.ID], workers[b.ID]) })
	}
	if c.atOnce {
		s.activate(state)
		return
	}
	s.sendCall(nil, s.network.delay(), func() { s.activate(state) })
}

// announce tells the scheduler of a worker. One that does not hear that, the machine has
// announced again.
func (c *controller) announce(w protocol.WorkerState) {
	s := c.world
	s.later(s.network.delay(), func() {
		x := s.scheduler
		if x.dead || x.disconnectedUntil > s.now {
			return
		}
		s.join(w)
		c.inTerm(s.network.delay(), func() {
			c.step(startup.JoinConfirmed{ID: w.ID, Incarnation: w.Incarnation, Epoch: x.epoch})
		})
	})
}

// write carries out the output's writes to the store.
func (c *controller) write(out startup.Output) {
	for _, s := range out.Store {
		c.store.writing[s.Token] = s.Models
		c.inTerm(writeTime, func() {
			delete(c.store.writing, s.Token)
			for _, m := range s.Models {
				c.store.models[m.Name] = m
			}
			c.step(startup.ModelsStored{Token: s.Token})
		})
	}
	for _, u := range out.Unstore {
		c.inTerm(writeTime, func() {
			for _, name := range u.Names {
				delete(c.store.models, name)
			}
			c.store.torn = slices.DeleteFunc(c.store.torn, func(name string) bool { return slices.Contains(u.Names, name) })
			c.step(startup.ModelsUnstored{Token: u.Token})
		})
	}
	if out.SetStage == nil {
		return
	}
	stage, quarantined := *out.SetStage, out.Quarantined
	c.inTerm(writeTime, func() {
		if cmp.Compare(stage, c.store.stage) <= 0 {
			c.world.broken("G4", "stage %v follows %v", stage, c.store.stage)
		}
		c.store.stage, c.store.quarantined = stage, quarantined
		c.step(startup.StageStored{Stage: stage})
	})
}

// inTerm calls do after d, unless the term ends before.
func (c *controller) inTerm(d time.Duration, do func()) {
	term := c.term
	c.world.later(d, func() {
		if term == c.term {
			do()
		}
	})
}

// wakeAt schedules a Tick at `at`, unless one is due earlier.
func (c *controller) wakeAt(at protocol.Time) {
	if at >= c.alarm {
		return
	}
	c.alarm = at
	if c.atOnce {
		return // bringUp sets it
	}
	term := c.term
	c.world.background(max(0, at.Sub(c.world.now)), func() {
		if term == c.term {
			c.alarm = protocol.Never
			c.step(startup.Tick{})
		}
	})
}
