package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// simple is the policy of that name (package comment). Handlers change state
// and mark models and GPUs dirty; settle then sends what has become possible,
// so that no handler calls another.
type simple struct {
	config        Config
	now           protocol.Time
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
	known    map[protocol.RequestID]*request
	actions  map[protocol.ActionID]*action
	timers   heap[due]

	dirtyModels []*model
	dirtyGPUs   []*gpu
	stats       Stats
	out         Output
}

func newSimple(config Config) *simple {
	c := &simple{config: config}
	c.clear()
	return c
}

func (c *simple) clear() {
	c.kinds, c.models, c.workers, c.gpus, c.timers = nil, nil, nil, nil, nil
	c.dirtyModels, c.dirtyGPUs = nil, nil
	c.names = map[string]*model{}
	c.profiles = map[string][]protocol.Profile{}
	c.costs = map[costKey]*cost{}
	c.absent = map[string]*absence{}
	c.known = map[protocol.RequestID]*request{}
	c.actions = map[protocol.ActionID]*action{}
	c.fenced = false
}

// Step implements Core.
func (c *simple) Step(now protocol.Time, e Event) Output {
	c.now = max(c.now, now)
	c.out = Output{}
	c.fire()
	switch e := e.(type) {
	case Activate:
		c.activate(e)
	case Submit:
		c.submit(e.Submission)
	case Result:
		c.result(e.Result)
	case WorkerJoined:
		c.join(e.State)
	case WorkerLost:
		c.lose(e)
	case DoorLost:
		c.doorLost(e.Door)
	}
	c.settle()
	c.out.Wake = protocol.Never
	if first := c.timers.first(); first != nil {
		c.out.Wake = protocol.Time(first.key)
	}
	out := c.out
	c.out = Output{}
	return out
}

// Stats implements Core.
func (c *simple) Stats() Stats {
	s := c.stats
	s.InFlight = len(c.known) - s.Queued
	return s
}

func (c *simple) ticket() uint64 {
	c.tickets++
	return c.tickets
}

// fire handles every timer that is due.
func (c *simple) fire() {
	for {
		first := c.timers.first()
		if first == nil || protocol.Time(first.key) > c.now {
			return
		}
		c.timers.remove(first)
		switch d := first.of; {
		case d.request != nil:
			c.expire(d.request)
		case d.action != nil:
			c.overdue(d.action)
		case d.replica != nil:
			c.evict(d.replica)
		}
	}
}

// epochShift puts the epoch above the numbers of its actions. Workers know an
// action by (issuer, id) and answer one they had before from memory; so an id
// never comes again, also where one process is the scheduler twice.
const epochShift = 40

func (c *simple) activate(e Activate) {
	if c.active && e.Epoch <= c.epoch {
		return
	}
	for _, r := range c.requests(func(*request) bool { return true }) {
		c.refuse(r, protocol.Refusal(protocol.SchedulerLost))
	}
	c.clear()
	c.active, c.epoch, c.issuer = true, e.Epoch, e.Issuer
	c.lastAction = protocol.ActionID(e.Epoch) << epochShift
	for _, p := range e.State.Profiles {
		c.profiles[p.Digest] = append(c.profiles[p.Digest], p)
	}
	for _, w := range e.State.Workers {
		c.learn(w.Profiles)
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

// learn takes profiles that a worker brings, where no such profile is known.
func (c *simple) learn(profiles []protocol.Profile) {
	for _, p := range profiles {
		same := func(q protocol.Profile) bool {
			return q.GPUType == p.GPUType && q.Backend == p.Backend && q.BackendVersion == p.BackendVersion
		}
		if !slices.ContainsFunc(c.profiles[p.Digest], same) {
			c.profiles[p.Digest] = append(c.profiles[p.Digest], p)
		}
	}
}

func (c *simple) submit(s protocol.Submission) {
	c.stats.Submitted++
	if c.known[s.ID] != nil {
		c.stats.Duplicates++
		return
	}
	r := &request{Submission: s, model: c.names[s.Model], seq: c.ticket(), deadline: c.now.Add(s.Budget)}
	if err := c.admit(r); err != nil {
		c.stats.Refused++
		c.out.Refusals = append(c.out.Refusals, protocol.Dispatch{ID: s.ID, Kind: protocol.Refuse, Refusal: err})
		return
	}
	r.timer.of.request = r
	r.cold = len(r.model.holders) == 0
	c.known[s.ID] = r
	c.enqueue(r)
}

// admit says why a request is refused at once, or sets its size.
func (c *simple) admit(r *request) *protocol.Error {
	m := r.model
	switch {
	case !c.active || c.fenced:
		return protocol.Refusal(protocol.SchedulerLost)
	case m == nil:
		return protocol.Errorf(protocol.UnknownModel, "no model is called %q", r.Model)
	case r.Budget <= 0:
		err := protocol.Errorf(protocol.DeadlineExceeded, "the deadline had passed by %v when the scheduler got the request", -r.Budget)
		err.BudgetMS = ms(r.Elapsed + r.Budget)
		return err
	case r.Batch < 1:
		return protocol.Errorf(protocol.InvalidInput, "expected at least 1 item, got %d", r.Batch)
	}
	if r.size = m.spec.Fits(r.Batch); r.size == 0 {
		err := protocol.Errorf(protocol.BatchTooLarge, "model %s runs at most %d items at a time, got %d", r.Model, m.spec.MaxBatch(), r.Batch)
		err.Got, err.Limit = int64(r.Batch), int64(m.spec.MaxBatch())
		return err
	}
	if err := c.unservable(m); err != nil {
		return err
	}
	if end, _, ok := c.soonest(m, r.size); ok && end > r.Budget {
		err := protocol.Errorf(protocol.DeadlineUnmeetable, "done %.3f ms after arrival at the earliest, the deadline is at %.3f ms", ms(r.Elapsed+end), ms(r.Elapsed+r.Budget))
		err.EarliestMS, err.BudgetMS = ms(r.Elapsed+end), ms(r.Elapsed+r.Budget)
		return err
	}
	if c.stats.Queued >= c.config.MaxQueued {
		err := protocol.Errorf(protocol.Overloaded, "%d requests wait already", c.stats.Queued)
		err.Limit = int64(c.config.MaxQueued)
		return err
	}
	return nil
}

// unservable says why none of the live GPUs can ever serve the model; without
// any GPU, or while no worker has it in host memory, there is still hope.
func (c *simple) unservable(m *model) *protocol.Error {
	most, total, capable := 0, 0, 0
	for _, n := range m.capable {
		capable += n
	}
	if capable > 0 || len(c.gpus) == 0 {
		return nil
	}
	for _, g := range c.gpus {
		if m.costs[g.kind] == nil {
			return protocol.Errorf(protocol.UnknownModel, "model %s is quarantined: it has no valid profile", m.spec.Name)
		}
		most, total = max(most, g.total-g.foreign), max(total, g.total)
	}
	if m.spec.Pages <= most {
		return nil
	}
	code := protocol.NoMemory
	if m.spec.Pages > total {
		code = protocol.ModelTooLarge
	}
	err := protocol.Errorf(code, "model %s takes %d pages, a GPU has at most %d", m.spec.Name, m.spec.Pages, most)
	err.Got, err.Limit = int64(m.spec.Pages), int64(most)
	return err
}

// enqueue puts a request into its model's queue until its last moment: that
// from which even an idle GPU would be late.
func (c *simple) enqueue(r *request) {
	_, exec, _ := c.soonest(r.model, r.size)
	r.model.put(r)
	c.stats.Queued++
	c.timers.set(&r.timer, int64(r.deadline.Add(-exec).Add(1)), c.ticket())
	c.touchModel(r.model)
}

func (c *simple) dequeue(r *request) {
	head := r.model.head == r
	r.model.take(r)
	c.stats.Queued--
	c.timers.remove(&r.timer)
	if head && r.model.head != nil {
		c.touchModel(r.model) // the next one may meet its deadline where this one did not
	}
}

func (c *simple) expire(r *request) {
	if r.failure != nil && r.failure.Code == protocol.WorkerLost {
		c.refuse(r, r.failure)
		return
	}
	c.refuse(r, c.late(r))
}

func (c *simple) late(r *request) *protocol.Error {
	err := protocol.Errorf(protocol.DeadlineExceeded, "waited %.3f ms for a GPU; what was left is too short to run it", ms(r.Budget-r.deadline.Sub(c.now)))
	err.BudgetMS = ms(r.Elapsed + r.Budget)
	return err
}

// refuse ends a request, wherever it is.
func (c *simple) refuse(r *request, err *protocol.Error) {
	c.drop(r)
	if r.orphan {
		c.stats.Forgotten++
		return
	}
	c.stats.Refused++
	c.out.Refusals = append(c.out.Refusals, protocol.Dispatch{ID: r.ID, Kind: protocol.Refuse, Refusal: err})
}

// drop takes a request out of the queue and out of what is known.
func (c *simple) drop(r *request) {
	if r.action == nil {
		c.dequeue(r)
		for _, p := range r.model.replicas {
			if p.phase == pending && r.model.head == nil {
				c.touchGPU(p.gpu)
			}
		}
	} else {
		r.action.request = nil
	}
	delete(c.known, r.ID)
}

// requests returns the known ones that match, in the order of their arrival.
func (c *simple) requests(match func(*request) bool) []*request {
	var found []*request
	for _, r := range c.known {
		if match(r) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *request) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return found
}

func (c *simple) doorLost(door uint64) {
	for _, r := range c.requests(func(r *request) bool { return r.ID.Door == door }) {
		r.orphan = true
		if r.action == nil {
			c.refuse(r, nil)
		}
	}
}

func (c *simple) touchModel(m *model) {
	if !m.dirty {
		m.dirty = true
		c.dirtyModels = append(c.dirtyModels, m)
	}
}

func (c *simple) touchGPU(g *gpu) {
	if !g.dirty {
		g.dirty = true
		c.dirtyGPUs = append(c.dirtyGPUs, g)
	}
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
