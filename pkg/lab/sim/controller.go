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

// controller is the shell around pkg/core/startup: what the machine wants done takes
// its time, and what came of it is an event. Its store survives it.
type controller struct {
	world    *world
	machine  *startup.Machine // nil while it is down
	term     uint64           // counts starts: what an earlier term asked for is void
	alarm    protocol.Time    // when a Tick is due
	watch    liveness.Watch   // of the workers
	store    store
	profiler *profiler
	loads    []load
}

// load is one of the workload's loads, and whether its client was answered.
type load struct {
	workload.Load
	asked    uint64 // the term it was asked in
	answered bool
}

// store is what stands in the key-value store.
type store struct {
	stage       protocol.Stage
	models      map[string]protocol.ModelSpec
	torn        []string // left by a store that was not finished
	writing     map[uint64][]protocol.ModelSpec
	profiles    map[string]protocol.Profile // by digest; all GPUs are of one type
	quarantined []startup.Quarantine
}

const (
	writeTime    = 2 * time.Millisecond // of the store
	loadsAtATime = 64
	// settleTime is how long a new controller looks around in ACTIVE.
	settleTime = 3 * time.Second
	// clientPause is how long a client waits until it asks for a load again.
	clientPause = time.Second
	// startupWithin is how long a startup may take.
	startupWithin = time.Hour
)

func newController(s *world) *controller {
	c := &controller{world: s, store: store{
		models: map[string]protocol.ModelSpec{}, writing: map[uint64][]protocol.ModelSpec{}, profiles: map[string]protocol.Profile{},
	}}
	c.profiler = newProfiler(s)
	for _, l := range s.loads {
		c.loads = append(c.loads, load{Load: l})
	}
	s.background(startupWithin, func() {
		if !s.begun {
			s.broken("G5", "the stack is not active after %v, but %v", startupWithin, c.store.stage)
		}
	})
	return c
}

// start begins a term with what stands in the store.
func (c *controller) start() {
	config := startup.DefaultConfig()
	c.term++
	config.Issuer = c.term<<8 + controllerIssuer
	config.MaxBatch = c.world.config.MaxBatch
	machine, err := startup.New(config)
	if err != nil {
		panic(err) // it is ours
	}
	c.machine, c.alarm, c.watch = machine, protocol.Never, liveness.Watch{}
	for _, token := range slices.Sorted(maps.Keys(c.store.writing)) {
		for _, m := range c.store.writing[token] {
			c.store.torn = append(c.store.torn, m.Name)
		}
	}
	clear(c.store.writing)
	c.step(startup.Started{
		Stage: c.store.stage, Models: sorted(c.store.models), Torn: c.store.torn, Profiles: sorted(c.store.profiles), Quarantined: c.store.quarantined,
	})
	for _, h := range c.world.hosts {
		if c.term > 1 && c.world.faults == nil { // else it beats
			c.heard(protocol.Heartbeat{ID: h.ID(), Incarnation: h.Incarnation()})
		}
	}
	c.world.later(clientPause, c.ask)
	c.beat(c.term, c.world.now)
}

// sorted returns the values of a map in the order of its keys.
func sorted[T any](of map[string]T) (values []T) {
	for _, key := range slices.Sorted(maps.Keys(of)) {
		values = append(values, of[key])
	}
	return values
}

// stop ends the term, as a crash does; false if it had ended.
func (c *controller) stop() bool {
	up := c.machine != nil
	c.machine = nil
	c.term++
	return up
}

// beat has the heartbeats of the profiler and of the scheduler arrive, as long
// as the controller waits for something of them.
func (c *controller) beat(term uint64, since protocol.Time) {
	if term != c.term || c.world.serving() && c.world.now > since.Add(settleTime) {
		return
	}
	c.step(startup.ProfilerSeen{Incarnation: 1, Job: c.profiler.working(c.jobs())})
	if w := c.world; !w.dead {
		c.step(startup.SchedulerSeen{Active: w.serving(), Epoch: w.epoch})
	}
	c.world.background(protocol.HeartbeatEvery, func() { c.beat(term, since) })
}

// heard has a worker's heartbeat arrive.
func (c *controller) heard(h protocol.Heartbeat) {
	replaced, _ := c.watch.Beat(h)
	if replaced != nil {
		c.step(startup.WorkerLost{ID: replaced.ID, Incarnation: replaced.Incarnation})
	}
	c.step(startup.WorkerSeen{ID: h.ID, Incarnation: h.Incarnation})
}

// watches counts for the workers, and misses those that are silent.
func (c *controller) watches() {
	for _, h := range c.watch.Tick() {
		c.step(startup.WorkerLost{ID: h.ID, Incarnation: h.Incarnation})
	}
}

// jobs is what this term adds to the ids of its jobs, as they are sent.
func (c *controller) jobs() uint64 { return c.term << 32 }

// measured has the profiler's report arrive.
func (c *controller) measured(r *protocol.ProfileReport) {
	done := startup.ProfilingDone{Job: r.ID - c.jobs(), Profiles: r.Profiles}
	for _, f := range r.Failures {
		done.Quarantined = append(done.Quarantined, startup.Quarantine{Digest: f.Digest, Reason: f.GPUType + ": " + f.Reason})
	}
	c.step(done)
}

// ask has the clients ask for what is not answered, a few loads at a time.
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
			c.step(startup.LoadAsked{Token: c.term<<32 + uint64(i), Request: protocol.LoadRequest{Path: l.Path, Name: l.Name, Copies: &copies}})
		}
		open++
	}
}

// reply has the answer to a load at its client.
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

// step gives the machine one event and does what it wants done.
func (c *controller) step(e startup.Event) {
	if c.machine == nil {
		return
	}
	out := c.machine.Step(c.world.now, e)
	for _, a := range out.Actions {
		c.world.command(c.world.byWorker[a.Worker], a.Action, func(r protocol.Result) { c.step(startup.LoadResult{Result: r}) })
	}
	for _, r := range out.Replies {
		c.world.later(c.world.network.delay(), func() { c.reply(r) })
	}
	c.write(out)
	if job := out.StartProfiling; job != nil {
		c.profiler.begin(*job, c.jobs())
	}
	if state := out.Activate; state != nil {
		c.world.sendCall(nil, c.world.network.delay(), func() { c.world.activate(*state) })
	}
	for _, w := range out.JoinWorkers {
		c.world.later(c.world.network.delay(), func() { c.world.join(w) })
	}
	c.wakeAt(out.Wake)
}

// write does what the machine wants done to the store.
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

// inTerm does something d from now, unless the controller ends before.
func (c *controller) inTerm(d time.Duration, do func()) {
	term := c.term
	c.world.later(d, func() {
		if term == c.term {
			do()
		}
	})
}

// wakeAt sees to it that a Tick comes at that time at the latest.
func (c *controller) wakeAt(at protocol.Time) {
	if at >= c.alarm {
		return
	}
	c.alarm = at
	term := c.term
	c.world.background(max(0, at.Sub(c.world.now)), func() {
		if term == c.term {
			c.alarm = protocol.Never
			c.step(startup.Tick{})
		}
	})
}
