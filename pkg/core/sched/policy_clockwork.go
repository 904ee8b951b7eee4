package sched

import (
	"math"
	"slices"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// clockworkPolicy is the planner: the family of policies that predict when each GPU's
// lanes are free and send work only shortly before (package comment). Its members differ
// in their Options alone.
//
// A GPU whose execution lane takes more work (open) has an empty run queue: what could
// run there has been sent. So a request that joins a queue that is not empty need not
// look at the GPUs.
type clockworkPolicy struct {
	*engine
	Options
	loadQueue heap.Heap[*model] // models with positive load priority, the highest first
	members   []*request        // scratch of batches
	bound     BatchBound        // of this epoch's batches; nil without Options.NewBound
	// waitingForSlot are models that wanted a copy when no free lane was for them, each
	// once.
	waitingForSlot []*model
	// transfersBusy: no GPU's transfer lane was free when it was last looked for.
	transfersBusy bool
	// pressure is an EWMA of the share of requests that are lost in the queue.
	pressure float64
	// loadShortage is an EWMA of the share of cold requests that no load came for in time.
	loadShortage float64
}

// modelPlan is what the planner keeps of a model.
type modelPlan struct {
	demand              modelDemand
	minBudget           minBudget
	coldTickets         [2]uint64     // tickets of the last two requests that found no copy, the latest first
	rejectedDemandUntil protocol.Time // until when requests that were turned away count as demand for a load
	servedAt            protocol.Time // when it was last served, or its queue began
	itemInterval        time.Duration // between two items served, on average of late
	queuedAs            queueVersion  // by which every copy got its turn; zero if that is not so
}

// gpuPlan is what the planner keeps of a GPU.
type gpuPlan struct {
	nextSlotTimer    heap.Node[due] // when the lane takes more work
	blocked          []*replica     // models whose requests came too late for this GPU
	waitersRetried   bool           // models that wait for a slot were looked at again since something changed here
	slackAt          protocol.Time  // when its models were asked for leeway
	slack            time.Duration  // how long they can spare it
	served, busyTime float64        // of an execution, on average of late
	demand           int64          // shares of the models' demand for execution here
}

// queueVersion is what the queue entries of a model's copies follow from: the first request in
// the queue, the largest batch there are enough for, and what it takes.
type queueVersion struct {
	first   uint64
	size    int
	changes uint64 // of the estimates
}

func (m *model) currentVersion() queueVersion {
	l := queueVersion{first: m.head.seq, size: m.spec.Fits(min(m.items, m.spec.MaxBatch()))}
	for _, cost := range m.costs {
		if cost != nil {
			l.changes += cost.changes
		}
	}
	return l
}

func newClockworkPolicy(c *engine, o Options) *clockworkPolicy {
	p := &clockworkPolicy{engine: c, Options: o}
	p.reset()
	return p
}

// reset forgets what was of an epoch.
func (p *clockworkPolicy) reset() {
	*p = clockworkPolicy{engine: p.engine, Options: p.Options}
	if p.NewBound != nil {
		p.bound = p.NewBound()
	}
}

// target keeps a buffer before the deadline for the way back. The original's
// is later than the deadline when the budget is tight.
func (p *clockworkPolicy) target(budget time.Duration) time.Duration {
	if p.Original {
		return min(budget, max(budget-p.config.Buffer, p.config.Ahead+p.config.Buffer))
	}
	return budget - min(p.config.Buffer, budget/20) - min(p.replyDelay(), budget/2)
}

func (p *clockworkPolicy) rank(r *request) int64 {
	if p.EDF {
		return int64(r.deadline)
	}
	return int64(r.seq)
}

// queued counts the request as demand.
func (p *clockworkPolicy) queued(r *request) {
	m := r.model
	if len(m.holders) == 0 {
		m.coldTickets = [2]uint64{p.ticket(), m.coldTickets[0]}
	}
	if m.queued == 1 {
		m.servedAt = p.now // the time without requests says nothing of the interval
	}
	c := p.config
	exec, load := p.alone(m)
	window := max(r.deadline.Sub(p.now), time.Millisecond)
	budget := min(c.MaxLoadBudget, window-(load+exec+c.Buffer+c.Ahead))
	budget = max(budget, c.Ahead+c.Buffer)
	m.demand.exec -= r.demand.exec // of an earlier try
	r.demand = demand{
		exec:  int64(float64(exec) * float64(c.DefaultSLO) / float64(window)),
		load:  int64(float64(exec) * float64(c.DefaultSLO) / float64(budget)),
		until: p.now.Add(budget),
	}
	m.demand.add(r)
}

func (p *clockworkPolicy) started(r *request) {
	r.model.demand.loaded(r)
	if r.cold {
		p.observeCold(0)
	}
}

func (p *clockworkPolicy) ended(r *request) {
	m := r.model
	if r.late {
		p.observeLoss()
	}
	if r.unloaded {
		p.observeCold(1)
	}
	m.demand.loaded(r)
	m.demand.exec -= r.demand.exec
	r.demand.exec = 0
	p.markModel(m)
}

// served takes note of how often a model is served.
func (m *model) served(now protocol.Time, items int) {
	if m.servedAt != 0 {
		m.itemInterval += (now.Sub(m.servedAt)/time.Duration(items) - m.itemInterval) / 8
	}
	m.servedAt = now
}

func (p *clockworkPolicy) reachOf(w *worker) time.Duration {
	if w == nil {
		return p.inferDelay(&p.fleetDelay)
	}
	return p.inferDelay(&w.delay)
}

func (p *clockworkPolicy) wanting() int { return len(p.loadQueue) }

// start is when an action sent now to a GPU would begin.
func (p *clockworkPolicy) start(g *gpu) protocol.Time {
	return max(g.free(p.now), p.inferArrival(g))
}

// observe learns from an execution what a GPU serves, and how far batches may go.
func (p *clockworkPolicy) observe(a *action, took time.Duration) {
	g := a.replica.gpu
	g.served += (float64(len(a.members)) - g.served) / 32
	g.busyTime += (float64(took) - g.busyTime) / 32
	for range a.members {
		p.pressure -= p.pressure / lossMemory
	}
	if p.bound != nil {
		m := a.replica.model
		p.bound.Observe(Execution{Model: int(m.index), Batch: a.size, Limit: m.spec.MaxBatch(), Late: a.lateFor(p.now)})
	}
}

// lateFor: a member's deadline has passed.
func (a *action) lateFor(now protocol.Time) bool {
	return slices.ContainsFunc(a.members, func(r *request) bool { return now > r.deadline })
}

func (p *clockworkPolicy) replicaLeaves(r *replica) {
	r.gpu.runQueue.Remove(&r.queueEntry)
	r.give(0)
}

// serve sees to a model that changed: its priority, and GPUs that have room.
func (p *clockworkPolicy) serve(m *model) {
	m.demand.expire(p.now)
	p.weigh(m)
	if m.head == nil || p.unchanged(m) {
		return
	}
	var best *replica
	var soonest protocol.Time
	for _, r := range m.holders {
		p.enqueueReplica(r, m.head)
		if !p.open(r.gpu) {
			if !r.gpu.nextSlotTimer.In() {
				p.markGPU(r.gpu) // it is to say when it has room
			}
			continue
		}
		if end := p.start(r.gpu).Add(r.exec(m.head.size)); best == nil || end < soonest {
			best, soonest = r, end
		}
	}
	if best == nil {
		m.queuedAs = m.currentVersion()
		return
	}
	p.markGPU(best.gpu)
	for _, r := range m.holders {
		if p.open(r.gpu) {
			p.markGPU(r.gpu) // in case the best one has better to do
		}
	}
}

// unchanged: nothing has changed for the model's copies since each of them got its
// turn at a GPU without room, but for requests at the end of a full queue. An
// arrival then costs the same however many copies there are.
func (p *clockworkPolicy) unchanged(m *model) bool {
	return p.Defer == nil && m.queuedAs.first != 0 && m.queuedAs == m.currentVersion()
}

// enqueueReplica gives a copy its turn at its GPU, for the request that comes first
// there.
func (p *clockworkPolicy) enqueueReplica(r *replica, first *request) {
	m := r.model
	key := int64(first.seq)
	if p.Urgent {
		size := m.spec.Fits(min(m.items, p.most(r)))
		key = int64(first.deadline.Add(-r.exec(max(size, first.size))))
	}
	if !r.queueEntry.In() || r.queueEntry.Key != key {
		r.gpu.runQueue.Set(&r.queueEntry, key, m.index)
	}
}

// open: the execution lane takes more work now.
func (p *clockworkPolicy) open(g *gpu) bool {
	return len(g.infers) == 0 || g.free(p.now) < p.now.Add(p.ahead(g)) && g.late(p.now) <= p.config.Silent
}

// fill sends what a GPU has room for, and says when it will have room again.
func (p *clockworkPolicy) fill(g *gpu) {
	p.timers.Remove(&g.nextSlotTimer)
	g.slowdown.recover(p.now)
	p.unblock(g)
	for p.open(g) && g.runQueue.First() != nil {
		if !p.run(p.next(g)) {
			break
		}
	}
	if g.runQueue.First() != nil && !g.nextSlotTimer.In() && g.late(p.now) == 0 {
		// While the first action is late, the lane slips with the clock: only a
		// result makes room.
		if at := g.free(p.now).Add(1 - p.ahead(g)); at > p.now {
			p.timers.Set(&g.nextSlotTimer, int64(at), p.ticket())
		}
	}
	p.transfer(g)
}

// lossMemory is how many requests pressure is averaged over.
const lossMemory = 256

// overloaded is the pressure from which on a GPU takes, of the batches that must
// begin soon, the one that yields most instead of the one that is most urgent.
// Below it, urgency serves more.
const overloaded = 0.125

// considered is how many copies are compared then; the heap has the most
// urgent ones in front.
const considered = 64

// horizon is how many executions of the usual length ahead the urgent copies
// are looked for among which the richest is taken. What can wait longer loses
// nothing by it, and its batch grows.
const horizon = 2.0

// next is the copy whose turn it is.
func (p *clockworkPolicy) next(g *gpu) *replica {
	first := g.runQueue.First().Of
	if !p.Yield || p.pressure < overloaded {
		return first
	}
	best, most := first, math.Inf(-1)
	start, price := p.start(g), p.gpuTimePrice(g)
	soon := start.Add(time.Duration(horizon * g.busyTime))
	for _, turn := range g.runQueue[:min(len(g.runQueue), considered)] {
		if turn.Key > int64(soon) {
			continue
		}
		r := turn.Of
		head := p.dropHopeless(r, start)
		if head == nil {
			continue
		}
		if size := p.choose(r, head, start); size > 0 {
			value := float64(p.count()) - price*float64(r.exec(size))
			if value > most {
				best, most = r, value
			}
		}
	}
	return best
}

// run sends a batch of a copy's model, or takes its turn away. It returns
// false when the GPU is to wait.
func (p *clockworkPolicy) run(r *replica) bool {
	g, m := r.gpu, r.model
	start := p.start(g)
	first := p.dropHopeless(r, start)
	size := 0
	if first != nil {
		size = p.choose(r, first, start)
	}
	if size == 0 {
		p.block(r)
		return true
	}
	takes := r.exec(size)
	latest := p.latest(p.members, takes)
	if p.Defer != nil && size < p.most(r) {
		more := r.exec(m.spec.Fits(size + 1))
		if until := p.Defer(GrowingBatch{Latest: latest, Takes: takes, TakesMore: more, Ahead: p.ahead(g)}); until > p.now {
			return p.postpone(r, until)
		}
	}
	first = p.members[len(p.members)-1].next
	m.served(p.now, p.count())
	begin := start.Add(p.config.Late)
	if p.bound == nil { // which knows of no deadlines
		begin = min(begin, latest.Add(beginSlack(p.members)))
	}
	p.infer(p.members, size, r, takes, begin)
	if first == nil {
		p.block(r)
	} else {
		p.enqueueReplica(r, first)
	}
	p.markModel(m)
	return true
}

// postpone puts a copy's turn off. It returns false when the GPU is to wait for it.
func (p *clockworkPolicy) postpone(r *replica, until protocol.Time) bool {
	g := r.gpu
	g.runQueue.Set(&r.queueEntry, int64(until), r.model.index)
	if g.runQueue.First() != &r.queueEntry {
		return true
	}
	p.timers.Set(&g.nextSlotTimer, int64(until), p.ticket())
	return false
}

// block takes a copy's turn away. If requests wait that came too late for this
// GPU, they may be in time once it proves faster than expected.
func (p *clockworkPolicy) block(r *replica) {
	r.gpu.runQueue.Remove(&r.queueEntry)
	r.model.queuedAs = queueVersion{}
	if r.model.head != nil {
		r.gpu.blocked = append(r.gpu.blocked, r)
	}
}

// unblock queues them again.
func (p *clockworkPolicy) unblock(g *gpu) {
	for _, r := range g.blocked {
		if r.phase == resident && r.model.head != nil && !r.queueEntry.In() {
			p.enqueueReplica(r, r.model.head)
		}
	}
	clear(g.blocked)
	g.blocked = g.blocked[:0]
}

// latest is when the members must begin to be done in time.
func (p *clockworkPolicy) latest(members []*request, takes time.Duration) protocol.Time {
	latest := protocol.Never
	for _, r := range members {
		latest = min(latest, r.deadline.Add(-takes))
	}
	return latest
}

// beginSlack is how much later than planned the members may begin: half of the buffer.
// Else a batch that is planned to the last moment would be refused for a begin
// that is a little late.
func beginSlack(members []*request) time.Duration {
	least := time.Duration(math.MaxInt64)
	for _, r := range members {
		least = min(least, (r.Budget-r.deadline.Sub(r.arrived))/2)
	}
	return least
}

// dropHopeless finds the first request that a GPU can do in time, and refuses those
// before it that no GPU can.
func (p *clockworkPolicy) dropHopeless(on *replica, start protocol.Time) *request {
	m := on.model
	size, here, anywhere := 0, protocol.Never, protocol.Never
	for r := m.head; r != nil; {
		if r.size != size {
			size, here, anywhere = r.size, start.Add(on.exec(r.size)), 0
		}
		if here <= r.deadline {
			return r
		}
		if anywhere == 0 {
			anywhere = p.earliestOfCopies(m, size)
		}
		next := r.next
		if anywhere > r.deadline {
			p.expire(r)
		}
		r = next
	}
	return nil
}

// earliestOfCopies is when some copy could be done with a request of this size that
// waits.
func (p *clockworkPolicy) earliestOfCopies(m *model, size int) protocol.Time {
	end := protocol.Never
	for _, h := range m.holders {
		if !h.gpu.stalled {
			q := p.quote(h, size)
			end = min(end, q.end())
		}
	}
	return end
}
