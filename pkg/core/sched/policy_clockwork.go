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
// Invariant: between steps, and without Options.Defer, a GPU whose execution lane takes
// more work (open) has an empty run queue, because all that could run there has been
// sent. So a request that joins a queue that is not empty need not visit the GPUs.
type clockworkPolicy struct {
	*engine
	Options
	// loadQueue are the models with demand and a positive loadRank that can get another
	// copy, the highest rank first.
	loadQueue heap.Heap[*model]
	// members are the requests of the batch being selected; every selection overwrites
	// them.
	members []*request
	// bound bounds the batches of this epoch, nil without Options.NewBound.
	bound BatchBound
	// waitingForSlot are models that needed a copy when no GPU with a free transfer lane
	// suited them, each once. They are tried again when a GPU changes (waitersRetried).
	waitingForSlot []*model
	// transfersBusy: the last search found no GPU with a free transfer lane. Cleared
	// when a lane becomes free.
	transfersBusy bool
	// pressure is an EWMA of the share of requests lost because of other requests' work,
	// 0 to 1, over lossMemory requests.
	pressure float64
	// budgets is the range of recent budgets.
	budgets budgetRange
	// loadShortage is an EWMA of the share of cold requests that no load served in time,
	// 0 to 1, over lossMemory cold requests.
	loadShortage float64
}

// modelPlan is the planner's state of a model.
type modelPlan struct {
	demand    modelDemand
	minBudget minBudget
	arrivals  arrivalRate
	// coldTickets are the tickets of the last two requests that found no copy, the
	// latest first; 0 for none.
	coldTickets [2]uint64
	// rejectedDemandUntil is until when a rejected request counts as demand for a load.
	rejectedDemandUntil protocol.Time
	// servedAt is when a batch was last sent or, if later, when a request last entered
	// the empty queue; 0 before the first request.
	servedAt protocol.Time
	// itemInterval is the mean time per item while requests waited, an EWMA with weight
	// 1/8 over batches.
	itemInterval time.Duration
	// pace is the time from one of its batches to the next, where they follow each other on
	// a GPU, in expected durations of a batch: an EWMA with weight 1/8. On the only GPU with
	// the model it is above 1 by the time that the lane stands idle between them.
	pace float64
	// queuedAs is the version by which all resident copies are queued, at GPUs that take
	// no more work; zero if that is not so.
	queuedAs queueVersion
}

// gpuPlan is the planner's state of a GPU.
type gpuPlan struct {
	// nextSlotTimer fires when the execution lane takes more work; fill sets it if copies
	// wait in the run queue.
	nextSlotTimer heap.Node[due]
	// blocked are copies that left the run queue while their models' requests were too
	// late for this GPU; fill queues them again.
	blocked []*replica
	// waitersRetried: waitingForSlot has been tried again since this GPU last changed in
	// a way that matters to it.
	waitersRetried bool
	// slackAt is when slack was computed, 0 for never. slack is how long a batch may
	// take before other models on the GPU miss their budgets (batch_limit.go).
	slackAt protocol.Time
	slack   time.Duration
	// tightAt is when tight was computed, 0 for never. tight are copies with recent
	// requests, those with the tightest budgets, ascending (blocking.go).
	tightAt protocol.Time
	tight   []*replica
	// last is the model whose batch was sent last.
	last *model
	// keptFree: nothing runs although copies wait, because it would cost more than it
	// serves.
	keptFree bool
	// served and busyTime are the mean number of requests and the mean duration, in
	// nanoseconds, of an execution: EWMAs with weight 1/32.
	served, busyTime float64
	// demand is the sum of its replicas' shares, O_g of the load priorities.
	demand int64
	// inputBytes is the mean size of the inputs of an Infer: an EWMA with weight 1/8.
	inputBytes float64
}

// queueVersion determines the queue entries of a model's copies: as long as it is the same,
// so are they. first is the seq of the first request in the queue, items the number of items
// in it, at most those of a largest batch, changes the number of changes of the execution
// estimates.
type queueVersion struct {
	first   uint64
	items   int
	changes uint64
}

// currentVersion returns the version of a queue that is not empty.
func (m *model) currentVersion() queueVersion {
	l := queueVersion{first: m.head.seq, items: min(m.items, m.spec.MaxBatch())}
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

// reset removes the state of an epoch.
func (p *clockworkPolicy) reset() {
	*p = clockworkPolicy{engine: p.engine, Options: p.Options}
	if p.NewBound != nil {
		p.bound = p.NewBound()
	}
}

// target keeps a reserve before the deadline for the messages to the client. With the
// original's rule, the result is later than the deadline if the budget is tight.
func (p *clockworkPolicy) target(budget time.Duration) time.Duration {
	if p.Original {
		return min(budget, max(budget-p.config.Buffer, p.config.Ahead+p.config.Buffer))
	}
	return budget - min(p.config.Buffer, budget/20) - min(p.replyDelay(), budget/2)
}

// rank orders a queue by deadline with EDF, otherwise by arrival.
func (p *clockworkPolicy) rank(r *request) int64 {
	if p.EDF {
		return int64(r.deadline)
	}
	return int64(r.seq)
}

// queued adds a request to its model's demand.
func (p *clockworkPolicy) queued(r *request) {
	m := r.model
	if len(m.holders) == 0 {
		m.coldTickets = [2]uint64{p.ticket(), m.coldTickets[0]}
	}
	if m.queued == 1 {
		m.servedAt = p.now // the interval does not include the time without requests
	}
	c := p.config
	exec, load := p.alone(m)
	window := max(r.deadline.Sub(p.now), time.Millisecond)
	budget := min(c.MaxLoadBudget, window-(load+exec+c.Buffer+c.Ahead))
	budget = max(budget, c.Ahead+c.Buffer)
	m.demand.exec -= r.demand.exec // from an earlier attempt
	r.demand = demand{
		exec:  int64(float64(exec) * float64(c.DefaultSLO) / float64(window)),
		load:  int64(float64(exec) * float64(c.DefaultSLO) / float64(budget)),
		until: p.now.Add(budget),
	}
	m.demand.add(r)
}

// started ends a request's demand for a load, and counts a cold request as served.
func (p *clockworkPolicy) started(r *request) {
	r.model.demand.loaded(r)
	if r.cold {
		p.observeCold(0)
	}
}

// ended removes a request's demand. A request that no GPU could serve in time counts in
// pressure if a GPU had its model, and in loadShortage if none had.
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

// served updates the interval between a model's items, and its pace if it follows itself on
// the GPU, by a batch that is sent now.
func (m *model) served(now protocol.Time, items int, on *replica, takes time.Duration) {
	if m.servedAt != 0 {
		if on.gpu.last == m {
			m.pace += (float64(now.Sub(m.servedAt))/float64(max(1, takes)) - m.pace) / 8
		}
		m.itemInterval += (now.Sub(m.servedAt)/time.Duration(items) - m.itemInterval) / 8
	}
	m.servedAt = now
}

func (p *clockworkPolicy) reachOf(w *worker, inputs int64) time.Duration {
	if w == nil {
		return p.inferDelay(&p.fleetDelay, inputs)
	}
	return p.inferDelay(&w.delay, inputs)
}

func (p *clockworkPolicy) wanting() int { return len(p.loadQueue) }

// start returns when an Infer sent now to a GPU with inputs of so many bytes would begin.
func (p *clockworkPolicy) start(g *gpu, inputs int64) protocol.Time {
	return max(g.free(p.now), p.inferArrival(g, inputs))
}

// nextInputs returns the size of the inputs of the first request that waits for a copy, 0
// if none waits.
func (r *replica) nextInputs() int64 {
	if r.model.head == nil {
		return 0
	}
	return r.model.head.inputBytes()
}

// observe adds an execution to its GPU's served and busyTime, lowers pressure by its
// members, and passes it to the bound.
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

// lateFor reports whether a member's deadline has passed.
func (a *action) lateFor(now protocol.Time) bool {
	return slices.ContainsFunc(a.members, func(r *request) bool { return now > r.deadline })
}

// replicaLeaves removes a copy from its GPU's run queue and demand.
func (p *clockworkPolicy) replicaLeaves(r *replica) {
	r.gpu.runQueue.Remove(&r.queueEntry)
	r.give(0)
}

// serve updates a model's place in the load queue, queues its copies at their GPUs, and marks
// the GPUs that take more work; the GPU that would serve it first is marked first.
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
				p.markGPU(r.gpu) // fill sets its timer
			}
			continue
		}
		if end := p.start(r.gpu, m.head.inputBytes()).Add(r.exec(m.head.size)); best == nil || end < soonest {
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
			p.markGPU(r.gpu) // if the best one runs another model
		}
	}
}

// unchanged reports whether the model's copies are queued, all at GPUs that take no more
// work, and their queue entries would not change. Then an arrival costs the same for any
// number of copies.
func (p *clockworkPolicy) unchanged(m *model) bool {
	return p.Defer == nil && m.queuedAs.first != 0 && m.queuedAs == m.currentVersion()
}

// enqueueReplica puts a copy into its GPU's run queue. With Urgent, the key is when the
// batch must begin that starts with request first; otherwise it is the arrival of first.
func (p *clockworkPolicy) enqueueReplica(r *replica, first *request) {
	m := r.model
	key := int64(first.seq)
	if p.Urgent {
		size := 1
		if m.items > 1 {
			size = m.spec.Fits(min(m.items, p.most(r, m.items)))
		}
		key = int64(first.deadline.Add(-r.exec(max(size, first.size))))
	}
	if !r.queueEntry.In() || r.queueEntry.Key != key {
		r.gpu.runQueue.Set(&r.queueEntry, key, m.index)
	}
}

// open reports whether the execution lane takes more work now: it is empty, or will be free
// soon and its first result is not overdue. A blamed request has the GPU for itself, also
// before it begins.
func (p *clockworkPolicy) open(g *gpu) bool {
	return g.takesMore() && (len(g.infers) == 0 || g.free(p.now) < p.now.Add(p.ahead(g)) && g.late(p.now) <= p.config.Silent)
}

// fill sends batches while the GPU's execution lane takes more work, sets the timer for when
// it will do so again, and continues with the transfer lane.
func (p *clockworkPolicy) fill(g *gpu) {
	p.timers.Remove(&g.nextSlotTimer)
	g.draining = false
	g.slowdown.recover(p.now)
	p.unblock(g)
	g.keptFree = false
	for p.open(g) && g.runQueue.First() != nil {
		r := p.next(g)
		if r == nil {
			p.keepFree(g)
			break
		}
		if !p.run(r) {
			break
		}
	}
	if g.runQueue.First() != nil && !g.nextSlotTimer.In() && g.late(p.now) == 0 && g.takesMore() {
		// While the first action is late, the lane slips with the clock: only a
		// result makes room.
		if at := g.free(p.now).Add(1 - p.ahead(g)); at > p.now {
			p.timers.Set(&g.nextSlotTimer, int64(at), p.ticket())
		}
	}
	p.transfer(g)
}

// lossMemory is the number of requests over which pressure is averaged: the EWMA has weight
// 1/256.
const lossMemory = 256

// overloaded is the pressure at and above which a GPU runs, of the batches that must begin
// soon, the one that yields most instead of the most urgent one. Below it, urgency serves
// more requests.
const overloaded = 0.125

// considered bounds how many copies are compared then: the first in the heap, which are
// among the most urgent.
const considered = 64

// horizon is how soon a batch must begin to be compared, in mean executions of the GPU. A
// batch that can wait longer loses nothing by waiting, and grows.
const horizon = 2.0

// next returns the copy of the run queue that runs next: the most urgent one or, under
// overload and where that one blocks others, the one whose batch has the highest value.
// It returns nil if nothing is worth what it blocks.
func (p *clockworkPolicy) next(g *gpu) *replica {
	first := g.runQueue.First().Of
	start := p.start(g, first.nextInputs())
	if first.model.head == nil || !p.blocking(first) || p.blocks(first, start, first.exec(p.likely(first))) == 0 {
		if !p.Yield || p.pressure < overloaded {
			return first
		}
		if best := p.best(g, start.Add(time.Duration(horizon*g.busyTime))); best != nil {
			return best
		}
	}
	return p.best(g, protocol.Never)
}

// best returns, of the copies whose batches must begin until then, the one whose batch has
// the highest value, the most urgent one if none of them has a batch; nil if none is worth
// what it blocks.
func (p *clockworkPolicy) best(g *gpu, until protocol.Time) *replica {
	best, most, free := g.runQueue.First().Of, math.Inf(-1), g.free(p.now)
	price := p.gpuTimePrice(g)
	for _, turn := range g.runQueue[:min(len(g.runQueue), considered)] {
		if turn.Key > int64(until) {
			continue
		}
		r := turn.Of
		start := max(free, p.inferArrival(g, r.nextInputs()))
		head := p.dropHopeless(r, start)
		if head == nil {
			continue
		}
		size := p.choose(r, head, start)
		if size == 0 {
			continue
		}
		served, takes := float64(p.count()), r.exec(size)
		served -= p.blocks(r, start, takes)
		value := served - price*float64(takes)
		switch {
		case served >= 0 && value > most:
			best, most = r, value
		case math.IsInf(most, -1):
			best = nil
		}
	}
	return best
}

// run sends a batch of a copy's model. If no request can be in time at this GPU, it blocks
// the copy instead. It returns false if the GPU must wait for a growing batch.
func (p *clockworkPolicy) run(r *replica) bool {
	g, m := r.gpu, r.model
	start := p.start(g, r.nextInputs())
	first := p.dropHopeless(r, start)
	size := 0
	if first != nil {
		size = p.choose(r, first, start)
	}
	if size == 0 {
		p.block(r)
		return true
	}
	if p.members[0].blamed() && !g.isolated() {
		g.draining = true // the end of what is outstanding fills the GPU again
		return false
	}
	takes := r.exec(size)
	latest := p.latest(p.members, takes)
	if p.Defer != nil && size < p.longest(r) {
		more := r.exec(m.spec.Fits(size + 1))
		if until := p.Defer(GrowingBatch{Latest: latest, Takes: takes, TakesMore: more, Ahead: p.ahead(g)}); until > p.now {
			return p.postpone(r, until)
		}
	}
	first = p.members[len(p.members)-1].next
	m.served(p.now, p.count(), r, takes)
	g.last = m
	g.inputBytes += (float64(inputBytesOf(p.members)) - g.inputBytes) / 8
	begin := start.Add(p.config.Late)
	if p.bound == nil { // a bound ignores deadlines
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

// keepFree has a GPU wait although copies wait for it: until something happens, or for
// keptFree.
func (p *clockworkPolicy) keepFree(g *gpu) {
	g.keptFree = true
	for _, turn := range g.runQueue {
		turn.Of.model.queuedAs = queueVersion{}
	}
	p.timers.Set(&g.nextSlotTimer, int64(p.now.Add(keptFree)), p.ticket())
}

// postpone moves a copy in the run queue to the time `until`. It returns false if the copy
// is still first, so that the GPU must wait for it.
func (p *clockworkPolicy) postpone(r *replica, until protocol.Time) bool {
	g := r.gpu
	g.runQueue.Set(&r.queueEntry, int64(until), r.model.index)
	if g.runQueue.First() != &r.queueEntry {
		return true
	}
	p.timers.Set(&g.nextSlotTimer, int64(until), p.ticket())
	return false
}

// likely returns the batch size that a copy would run if all that wait were in time.
func (p *clockworkPolicy) likely(r *replica) int {
	m := r.model
	return max(m.spec.Fits(min(m.items, p.most(r, m.items))), m.head.size)
}

// block removes a copy from the run queue. Waiting requests that are too late for this GPU
// may be in time once it proves faster than expected; for that, unblock queues the copy
// again.
func (p *clockworkPolicy) block(r *replica) {
	r.gpu.runQueue.Remove(&r.queueEntry)
	r.model.queuedAs = queueVersion{}
	if r.model.head != nil {
		r.gpu.blocked = append(r.gpu.blocked, r)
	}
}

// unblock puts the blocked copies back into the run queue.
func (p *clockworkPolicy) unblock(g *gpu) {
	for _, r := range g.blocked {
		if r.phase == resident && r.model.head != nil && !r.queueEntry.In() {
			p.enqueueReplica(r, r.model.head)
		}
	}
	clear(g.blocked)
	g.blocked = g.blocked[:0]
}

// latest returns when the members must begin so that all are in time.
func (p *clockworkPolicy) latest(members []*request, takes time.Duration) protocol.Time {
	latest := protocol.Never
	for _, r := range members {
		latest = min(latest, r.deadline.Add(-takes))
	}
	return latest
}

// beginSlack returns how much after latest the members may still begin: half of their
// reserve. Otherwise a worker would refuse a batch that was planned without a margin
// because it begins a little late.
func beginSlack(members []*request) time.Duration {
	least := time.Duration(math.MaxInt64)
	for _, r := range members {
		least = min(least, (r.Budget-r.deadline.Sub(r.arrived))/2)
	}
	return least
}

// dropHopeless returns the first request that the copy can do in time if it begins at
// `start`. Of the requests before it, it refuses those that no copy can do in time.
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
			anywhere = p.earliestOfCopies(r)
		}
		next := r.next
		if anywhere > r.deadline {
			p.expire(r)
		}
		r = next
	}
	return nil
}

// earliestOfCopies returns when the first resident copy could be done with a waiting
// request; Never without one on a GPU that is not stalled.
func (p *clockworkPolicy) earliestOfCopies(r *request) protocol.Time {
	end := protocol.Never
	for _, h := range r.model.holders {
		if !h.gpu.stalled {
			q := p.quote(h, r)
			end = min(end, q.end())
		}
	}
	return end
}
