package sched

import (
	"slices"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// engine keeps the books that every policy decides by: the mirror of the
// workers, the requests, the actions, the timers. Handlers change state and
// mark models and GPUs dirty; settle then lets the policy send what has become
// possible, so that no handler calls another.
type engine struct {
	config        Config
	policy        policy
	learner       learner // the policy, or nil if it is no learner
	now           protocol.Time
	fleetDelay    netDelay // of all workers
	epoch, issuer uint64
	active        bool
	fenced        bool // a worker obeys a higher epoch
	lastAction    protocol.ActionID
	tickets       uint64

	kinds    []string
	models   []*model // in the order of the state
	names    map[string]*model
	profiles map[string][]protocol.Profile // by digest
	costs    map[costKey]*cost
	workers  []*worker // sorted by id
	absent   map[string]*absence
	gpus     []*gpu // in the order of workers
	ofKind   []int  // how many of them are of each type
	known    map[protocol.RequestID]*request
	actions  map[protocol.ActionID]*action
	timers   heap.Heap[due]

	dirtyModels []*model
	dirtyGPUs   []*gpu
	stats       Stats
	out         Output
	refs        []protocol.RequestRef // of the actions in out
	ended       []*request            // to be used again
	closed      []*action
}

func newEngine(config Config) *engine {
	c := &engine{config: config}
	c.clear()
	return c
}

// decideBy gives the engine its policy.
func (c *engine) decideBy(p policy) {
	c.policy = p
	c.learner, _ = p.(learner)
}

func (c *engine) clear() {
	c.kinds, c.ofKind, c.models, c.workers, c.gpus, c.timers = nil, nil, nil, nil, nil, nil
	c.dirtyModels, c.dirtyGPUs = nil, nil
	c.names = map[string]*model{}
	c.profiles = map[string][]protocol.Profile{}
	c.costs = map[costKey]*cost{}
	c.absent = map[string]*absence{}
	c.known = map[protocol.RequestID]*request{}
	c.actions = map[protocol.ActionID]*action{}
	c.fleetDelay = netDelay{}
	c.fenced = false
}

// Step implements Core.
func (c *engine) Step(now protocol.Time, e Event) Output {
	c.now = max(c.now, now)
	c.begin()
	c.fire()
	switch e := e.(type) {
	case *Activate:
		c.activate(*e)
	case *Submit:
		c.submit(e.Submission)
	case *Result:
		c.result(&e.Result)
	case *WorkerJoined:
		c.join(e.State)
	case *WorkerLost:
		c.lose(*e)
	case *DoorLost:
		c.doorLost(e.Door)
	}
	c.settle()
	c.out.Wake = protocol.Never
	if first := c.timers.First(); first != nil {
		c.out.Wake = protocol.Time(first.Key)
	}
	return c.out
}

// begin makes the last Output's memory ready for the next one.
func (c *engine) begin() {
	c.out.Actions, c.out.Dispatches = c.out.Actions[:0], c.out.Dispatches[:0]
	c.out.Refusals, c.out.Reasons = c.out.Refusals[:0], c.out.Reasons[:0]
	c.refs = c.refs[:0]
}

// Stats implements Core.
func (c *engine) Stats() Stats {
	s := c.stats
	s.InFlight = len(c.known) - s.Queued
	return s
}

func (c *engine) ticket() uint64 {
	c.tickets++
	return c.tickets
}

// fire handles every timer that is due.
func (c *engine) fire() {
	for {
		first := c.timers.First()
		if first == nil || protocol.Time(first.Key) > c.now {
			return
		}
		c.timers.Remove(first)
		switch d := first.Of; {
		case d.request != nil:
			c.expire(d.request)
		case d.action != nil:
			c.overdue(d.action)
		case d.replica != nil:
			c.evict(d.replica)
		case d.gpu != nil:
			c.markGPU(d.gpu)
		}
	}
}

// epochShift puts the epoch above the numbers of its actions. Workers know an
// action by (issuer, id) and answer one they had before from memory; so an id
// never comes again, also where one process is the scheduler twice.
const epochShift = 40

func (c *engine) activate(e Activate) {
	if c.active && e.Epoch <= c.epoch {
		return
	}
	for _, r := range c.requests(func(*request) bool { return true }) {
		c.refuse(r, protocol.Refusal(protocol.SchedulerLost))
	}
	c.clear()
	if c.learner != nil {
		c.learner.reset()
	}
	c.active, c.epoch, c.issuer = true, e.Epoch, e.Issuer
	c.lastAction = protocol.ActionID(e.Epoch) << epochShift
	for _, p := range e.State.Profiles {
		c.profiles[p.Digest] = append(c.profiles[p.Digest], p)
	}
	for _, w := range e.State.Workers {
		c.adopt(w.Profiles)
	}
	for _, spec := range e.State.Models {
		if c.names[spec.Name] == nil {
			m := &model{spec: spec, index: uint64(len(c.models))}
			c.models, c.names[spec.Name] = append(c.models, m), m
		}
	}
	for _, w := range e.State.Workers {
		c.join(w)
	}
}

// adopt takes profiles that a worker brings, where no such profile is known.
func (c *engine) adopt(profiles []protocol.Profile) {
	for _, p := range profiles {
		same := func(q protocol.Profile) bool {
			return q.GPUType == p.GPUType && q.Backend == p.Backend && q.BackendVersion == p.BackendVersion
		}
		if !slices.ContainsFunc(c.profiles[p.Digest], same) {
			c.profiles[p.Digest] = append(c.profiles[p.Digest], p)
		}
	}
}

func (c *engine) markModel(m *model) {
	if !m.dirty {
		m.dirty = true
		c.dirtyModels = append(c.dirtyModels, m)
	}
}

func (c *engine) markGPU(g *gpu) {
	if !g.dirty {
		g.dirty = true
		c.dirtyGPUs = append(c.dirtyGPUs, g)
	}
}
