package sched

import (
	"math"
	"time"

	"clockwork/pkg/protocol"
)

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
	return p.takesMore(g) && (len(g.infers) == 0 || g.free(p.now) < p.now.Add(p.ahead(g)) && g.late(p.now) <= p.config.Silent)
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
	if g.runQueue.First() != nil && !g.nextSlotTimer.In() && g.late(p.now) == 0 && p.takesMore(g) {
		// While the first action is late, the lane slips with the clock: only a
		// result makes room.
		if at := p.nextSlot(g); at > p.now {
			p.timers.Set(&g.nextSlotTimer, int64(at), p.ticket())
		}
	}
	p.transfer(g)
}

// nextSlot returns when a GPU takes more work.
func (p *clockworkPolicy) nextSlot(g *gpu) protocol.Time { return g.free(p.now).Add(1 - p.ahead(g)) }

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
	begin := start.Add(p.config.Late)
	if p.bound == nil { // a bound ignores deadlines
		begin = min(begin, latest.Add(beginSlack(p.members)))
	}
	p.infer(p.members, size, r, takes, begin)
	g.inputBytes += (float64(g.infers[len(g.infers)-1].inputs) - g.inputBytes) / 8
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

// beginSlack returns how much after latest the members may still begin: half of the share of
// their budgets that is kept in any case. Otherwise a worker would refuse a batch that was planned without a margin
// because it begins a little late.
func beginSlack(members []*request) time.Duration {
	least := time.Duration(math.MaxInt64)
	for _, r := range members {
		least = min(least, r.slack)
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
