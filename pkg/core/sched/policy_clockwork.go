package sched

import (
	"math"
	"slices"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// clockworkPolicy is the family of policies that predict when each GPU's lanes are free
// and send work only shortly before (package comment). Its members differ in
// rules alone.
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

// alone is what one item and the transfer of the weights take at least.
func (c *engine) alone(m *model) (exec, load time.Duration) {
	for kind, cost := range m.costs {
		if m.capable[kind] > 0 && (exec == 0 || cost.exec(1) < exec) {
			exec, load = cost.exec(1), cost.load.Value()
		}
	}
	return exec, load
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

// admit refuses what no GPU could do in time: the lanes with what was sent,
// and the transfer before it where no GPU holds the model.
func (p *clockworkPolicy) admit(r *request) *protocol.Error {
	r.model.minBudget.note(r.Budget, p.now)
	best, ok := p.earliest(r)
	v := verdict{best: best}
	if ok && p.Early && best.end() <= r.deadline && p.pressure >= overloaded {
		if v.backlog = p.backlog(r); p.now.Add(v.backlog) > r.deadline {
			v.why = WhyBacklog
		}
	}
	if !ok || best.end() <= r.deadline && v.why == whyUnknown {
		return nil
	}
	err := p.unmeetable(r, &v)
	if p.finishIfIdle(r) <= r.deadline { // it is the work of others that is in its way
		p.observeLoss()
	}
	p.resetDelays(r.model)
	p.noteRejectedDemand(r.model)
	return err
}

// noteRejectedDemand has a model's weights loaded though nothing waits for them: whose
// deadlines are shorter than a load would be turned away for ever.
func (p *clockworkPolicy) noteRejectedDemand(m *model) {
	if !m.hasCopy() {
		m.coldTickets = [2]uint64{p.ticket(), m.coldTickets[0]}
		m.rejectedDemandUntil = p.now.Add(p.config.DefaultSLO)
		p.markModel(m)
	}
}

// observeLoss counts a request that was lost to the work of others.
func (p *clockworkPolicy) observeLoss() { p.pressure += (1 - p.pressure) / lossMemory }

// finishIfIdle is when a request would be done if a GPU that holds its model had
// nothing else to do; Never without such a GPU.
func (p *clockworkPolicy) finishIfIdle(r *request) protocol.Time {
	end := protocol.Never
	for _, h := range r.model.holders {
		end = min(end, p.inferArrival(h.gpu).Add(h.exec(r.size)))
	}
	return end
}

// overloadQueueFactor is how many times what a model can serve in time is let in under
// overload, one of its largest batches in any case: with more to choose from,
// batches are larger.
const overloadQueueFactor = 4

// backlog is how long a model's queue takes at the recent rate, if that is far
// too long for one more request; else 0. Other models' queues say nothing: which
// of them will be served is not known.
func (p *clockworkPolicy) backlog(r *request) time.Duration {
	m := r.model
	if m.items < m.spec.MaxBatch() {
		return 0
	}
	wait := time.Duration(m.items) * m.itemInterval
	if wait <= overloadQueueFactor*r.deadline.Sub(p.now) {
		return 0
	}
	return wait
}

// served takes note of how often a model is served.
func (m *model) served(now protocol.Time, items int) {
	if m.servedAt != 0 {
		m.itemInterval += (now.Sub(m.servedAt)/time.Duration(items) - m.itemInterval) / 8
	}
	m.servedAt = now
}

// quote is when a request of this size could be done by a copy.
func (p *clockworkPolicy) quote(h *replica, size int) quote {
	q := quote{on: h, begin: p.start(h.gpu), exec: h.exec(size)}
	if h.phase != resident {
		q.load = h.model.costs[h.gpu.kind].load.Value()
		from := p.now.Add(q.load)
		if h.phase == loading {
			from = h.transfer.expected
		}
		q.ready = from.Add(p.loadOverhead(&h.gpu.worker.delay))
	}
	return q
}

// quoteLoad is when it could be done by the first GPU that loaded the model now.
func (p *clockworkPolicy) quoteLoad(m *model, size int) (best quote, ok bool) {
	for kind, n := range m.capable {
		if n == 0 {
			continue
		}
		load := m.costs[kind].load.Value()
		q := quote{ready: p.now.Add(load + p.loadOverhead(&p.fleetDelay)), load: load, exec: m.costs[kind].exec(size)}
		if !ok || q.end() < best.end() {
			best, ok = q, true
		}
	}
	return best, ok
}

// earliest is by what a request could be done first, if nothing that waits came
// before it, or the first that is in time; false when no live GPU can hold its model.
func (p *clockworkPolicy) earliest(r *request) (best quote, ok bool) {
	for _, h := range r.model.replicas {
		if h.gpu.stalled {
			continue
		}
		h.gpu.slowdown.recover(p.now) // what is refused because of it would never show it
		if q := p.quote(h, r.size); !ok || q.end() < best.end() {
			best, ok = q, true
			if q.end() <= r.deadline {
				return best, true
			}
		}
	}
	if ok {
		return best, true
	}
	return p.quoteLoad(r.model, r.size)
}

// offer implements policy: among copies that are there, as what waits is shed by
// those; else among loads.
func (p *clockworkPolicy) offer(r *request) (best quote, ok bool) {
	list := r.model.holders
	if len(list) == 0 {
		list = r.model.replicas
	}
	for _, h := range list {
		if h.gpu.stalled {
			continue
		}
		if q := p.quote(h, r.size); !ok || q.end() < best.end() {
			best, ok = q, true
		}
	}
	if ok {
		return best, true
	}
	return p.quoteLoad(r.model, r.size)
}

// atIdle implements policy: as near as the copies are, or workers usually.
func (p *clockworkPolicy) atIdle(r *request) (exec, load time.Duration) {
	if cold, ok := p.quoteLoad(r.model, r.size); ok {
		load = cold.end().Sub(p.now)
		exec = p.inferDelay(&p.fleetDelay) + cold.exec
	}
	if at := p.finishIfIdle(r); at != protocol.Never {
		exec = at.Sub(p.now)
	}
	return exec, load
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
