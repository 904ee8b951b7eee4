package sched

import (
	"slices"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// engine keeps the state that every policy decides by: the mirror of the workers, the
// requests, the actions, the timers. Handlers change state and mark models and GPUs
// dirty; settle then lets the policy send what has become possible, so that no handler
// calls another.
//
// Invariants: a known request is either in its model's queue or a member of an
// outstanding action. Between steps no model and no GPU is dirty. An Activate replaces
// all state except for config, policy, now, tickets, stats and reused memory.
type engine struct {
	config Config
	policy policy
	// learner is the policy if it is a learner, otherwise nil.
	learner learner
	// now is the time of the current step; it never goes back.
	now protocol.Time
	// waysBack are the times of answers to clients, by front door.
	waysBack map[uint64]*doorWays
	// fleetDelay are the message delays over all workers.
	fleetDelay    netDelay
	epoch, issuer uint64
	// active: an epoch has begun. fenced: a worker has seen a higher epoch, so this
	// core sends nothing more and refuses every new request.
	active bool
	fenced bool
	// lastAction is the id of the last action; see epochShift.
	lastAction protocol.ActionID
	// tickets is the last number given by ticket.
	tickets uint64

	// kinds are the types of GPUs. The index of a type stands for it in gpu.kind,
	// model.costs and model.capable.
	kinds []gpuKind
	// set is the number of the present set of models. models are those of the set, in the
	// order in which they came; names are the same by name.
	set    uint64
	models []*model
	names  map[string]*model
	// indexes is the number of models that have come in the epoch; model.index is below it.
	indexes uint64
	// retired are models of earlier sets of the epoch, by name, at most maxRetired.
	retired map[string]*model
	// profiles are all known profiles by model digest, complete or not.
	profiles map[string][]protocol.Profile
	// costs are the estimates; models with equal digests share them.
	costs map[costKey]*cost
	// workers are the live workers, sorted by id.
	workers []*worker
	// absent are lost workers whose transfers were outstanding, by id.
	absent map[string]*absence
	// gpus are the GPUs of workers, in this order; ofKind counts those of each type.
	gpus   []*gpu
	ofKind []int
	// known are the requests that have not ended; actions are those without a result.
	known   map[protocol.RequestID]*request
	actions map[protocol.ActionID]*action
	// unavailable counts the models without a capable GPU, unless recount says that it is to
	// be counted anew. unavailableNames are the first of them, at most protocol.MaxUnavailable.
	unavailable      int
	unavailableNames []string
	recount          bool
	// quarantinedUntil is the latest end of a quarantine, 0 if there was none.
	quarantinedUntil protocol.Time
	// timers are ordered by time, then by ticket.
	timers heap.Heap[due]

	// dirtyModels and dirtyGPUs are what settle must handle, each entry once.
	dirtyModels []*model
	dirtyGPUs   []*gpu
	// stats lacks InFlight, which Stats computes.
	stats Stats
	// out is the output of the current step; refs is the memory of its
	// Action.Requests.
	out  Output
	refs []protocol.RequestRef
	// ended and closed are requests and actions to be reused. A request that ended
	// keeps its fields until the next Submit.
	ended  []*request
	closed []*action
}

func newEngine(config Config) *engine {
	c := &engine{config: config}
	c.clear()
	return c
}

// decideBy sets the engine's policy, once, before the first step.
func (c *engine) decideBy(p policy) {
	c.policy = p
	c.learner, _ = p.(learner)
}

// clear removes the state of an epoch.
func (c *engine) clear() {
	c.kinds, c.ofKind, c.models, c.workers, c.gpus, c.timers = nil, nil, nil, nil, nil, nil
	c.dirtyModels, c.dirtyGPUs = nil, nil
	c.names, c.retired = map[string]*model{}, map[string]*model{}
	c.profiles = map[string][]protocol.Profile{}
	c.costs = map[costKey]*cost{}
	c.absent = map[string]*absence{}
	c.known = map[protocol.RequestID]*request{}
	c.actions = map[protocol.ActionID]*action{}
	c.fleetDelay = netDelay{}
	c.waysBack = map[uint64]*doorWays{}
	c.fenced, c.recount, c.quarantinedUntil = false, true, 0
	c.set, c.indexes = 0, 0
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
	case *GPUHealth:
		c.gpuHealth(e)
	case *DoorLost:
		c.doorLost(e.Door)
	case *Answered:
		c.answered(e)
	case *Withdraw:
		c.withdraw(e.ID)
	case *SetSwitched:
		c.switchSet(&e.State)
	}
	c.settle()
	c.out.Wake = protocol.Never
	if first := c.timers.First(); first != nil {
		c.out.Wake = protocol.Time(first.Key)
	}
	return c.out
}

// begin empties the output for the next step and keeps its memory.
func (c *engine) begin() {
	c.out.Actions, c.out.Dispatches = c.out.Actions[:0], c.out.Dispatches[:0]
	c.out.Refusals, c.out.Reasons = c.out.Refusals[:0], c.out.Reasons[:0]
	c.out.Late, c.out.Unanswered, c.out.Incidents = c.out.Late[:0], c.out.Unanswered[:0], c.out.Incidents[:0]
	c.refs = c.refs[:0]
}

// Stats implements Core.
func (c *engine) Stats() Stats {
	s := c.stats
	s.InFlight = len(c.known) - s.Queued
	return s
}

// Capacity implements Core.
func (c *engine) Capacity(now protocol.Time) protocol.Capacity {
	c.countUnavailable()
	able := protocol.Capacity{Models: len(c.models), Unavailable: c.unavailable, Refused: c.refused(now)}
	for _, g := range c.gpus {
		if !g.stalled && g.able > 0 {
			able.GPUs++
		}
	}
	return able
}

// Unavailable implements Core.
func (c *engine) Unavailable() []string {
	c.countUnavailable()
	return c.unavailableNames
}

func (c *engine) countUnavailable() {
	if !c.recount {
		return
	}
	c.recount, c.unavailable, c.unavailableNames = false, 0, nil
	for _, m := range c.models {
		if m.capableGPUs() > 0 {
			continue
		}
		if c.unavailable++; len(c.unavailableNames) < protocol.MaxUnavailable {
			c.unavailableNames = append(c.unavailableNames, m.spec.Name)
		}
	}
}

// ticket returns a number above all earlier ones. Tickets order timers of one time, arrivals,
// and the uses of replicas.
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
		case d.worker != nil:
			c.missedEnd(d.worker)
		}
	}
}

// epochShift is the number of bits of an action's id below its epoch. A worker identifies
// an action by (issuer, id) and answers a repeated one from memory, so an id must not
// repeat even if one process is the scheduler twice.
const epochShift = 40

// activate ends the present epoch and begins the next one.
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
	c.set = e.State.Set
	c.addModels(e.State.Models)
	for _, w := range e.State.Workers {
		c.join(w)
	}
}

// addModels adds models, tens of thousands at a takeover: their memory is allocated at once.
func (c *engine) addModels(specs []protocol.ModelSpec) {
	all := make([]model, len(specs))
	c.models = slices.Grow(c.models, len(specs))
	for i := range specs {
		if c.names[specs[i].Name] == nil {
			m := &all[i]
			m.spec, m.itemBytes, m.outputBytes, m.index = specs[i], specs[i].ItemBytes(), specs[i].OutputBytes(), c.indexes
			c.indexes++
			c.addModel(m)
		}
	}
}

// addModel makes a model one of the set.
func (c *engine) addModel(m *model) {
	c.models, c.names[m.spec.Name] = append(c.models, m), m
	c.extend(m)
	for _, g := range c.gpus {
		if c.capable(g, m) {
			c.canHold(g, m, +1)
		}
	}
	c.recount = true
}

// adopt adds the profiles whose keys are not known yet.
func (c *engine) adopt(profiles []protocol.Profile) {
	digests := map[string]bool{}
	for _, p := range profiles {
		same := func(q protocol.Profile) bool {
			return q.GPUType == p.GPUType && q.Backend == p.Backend && q.BackendVersion == p.BackendVersion
		}
		if !slices.ContainsFunc(c.profiles[p.Digest], same) {
			c.profiles[p.Digest] = append(c.profiles[p.Digest], p)
			digests[p.Digest] = true
		}
	}
	if len(digests) == 0 {
		return
	}
	for _, m := range c.models {
		if digests[m.spec.Digest] {
			c.price(m)
		}
	}
}

// price gives a model the estimates that it lacks.
func (c *engine) price(m *model) {
	for kind := range m.costs {
		if m.costs[kind] != nil {
			continue
		}
		if m.costs[kind] = c.costOf(m.spec, kind); m.costs[kind] == nil {
			continue
		}
		for _, g := range c.gpus {
			if g.kind == kind && c.capable(g, m) {
				c.canHold(g, m, +1)
			}
		}
	}
}

// markModel lets the policy serve a model at the end of this step.
func (c *engine) markModel(m *model) {
	if !m.dirty {
		m.dirty = true
		c.dirtyModels = append(c.dirtyModels, m)
	}
}

// markGPU lets the policy fill a GPU at the end of this step.
func (c *engine) markGPU(g *gpu) {
	if !g.dirty {
		g.dirty = true
		c.dirtyGPUs = append(c.dirtyGPUs, g)
	}
}
