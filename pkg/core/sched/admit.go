package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// admit refuses a request that no GPU can finish in time, given the actions already sent,
// and the load if no GPU holds the model, or behind the requests of its model that were
// admitted before.
func (p *clockworkPolicy) admit(r *request) *protocol.Error {
	r.model.minBudget.note(r.Budget, p.now)
	r.model.arrivals.note(p.now)
	p.budgets.note(r.Budget, p.now)
	best, ok := p.earliest(r)
	v := verdict{best: best}
	if ok && p.Early && best.end() <= r.deadline {
		p.afterQueue(r, &v)
	}
	if !ok || best.end() <= r.deadline && v.why == whyUnknown {
		return nil
	}
	refusal := p.unmeetable(r, &v)
	if p.finishIfIdle(r) <= r.deadline { // an idle GPU would be in time
		p.observeLoss()
	}
	p.resetDelays(r.model)
	p.noteRejectedDemand(r.model)
	return refusal
}

// afterQueue refuses a request that would be late behind those that precede it, which are
// admitted; under overload also one whose model's queue is far too long at its recent rate.
func (p *clockworkPolicy) afterQueue(r *request, v *verdict) {
	end := p.planned(r, v.best.on, v.best.begin)
	if end > r.deadline && len(r.model.holders) > 1 {
		end = p.planned(r, v.best.on, p.freeElsewhere(v.best.on, v.best.begin))
	}
	if end > r.deadline {
		v.why, v.backlog, v.need = WhyBacklog, end.Sub(p.now), end.Sub(r.arrived)
		return
	}
	if p.pressure < overloaded {
		return
	}
	if wait := p.backlog(r); p.now.Add(wait) > r.deadline {
		v.why, v.backlog, v.need = WhyBacklog, wait, wait/overloadQueueFactor+1
	}
}

// plan is when the requests that wait for a model can be done at the earliest.
type plan struct {
	on *replica
	// begin is when the first GPU is free. besides is the work that precedes there, of
	// other models. share is the time of the GPUs that the model gets, relative to one.
	begin   protocol.Time
	besides time.Duration
	share   float64
}

// planned returns when a request is done at the earliest if what precedes it runs first, from
// begin on: its model's queue, in batches that pay, and what models with tighter budgets are
// expected to need. It is 0 if the request can be in the next batch, or if another GPU could
// load the model: what waits is the demand for that.
//
// A request that would make a waiting one late, which has been admitted, counts as behind
// the whole queue.
func (p *clockworkPolicy) planned(r *request, on *replica, begin protocol.Time) protocol.Time {
	m := r.model
	if on == nil || on.phase != resident || len(m.holders) < m.capableGPUs() {
		return 0
	}
	blocking := p.blocking(on)
	if m.head == nil && !blocking {
		return 0
	}
	plan := plan{on: on, begin: begin, share: 1 / max(1, m.pace)}
	if n := len(m.holders); n > 1 {
		plan.share = float64(n) // all its GPUs for it alone; how many it will get is not known
	}
	if blocking {
		plan.besides = p.besides(r, on)
		plan.share *= 1 - p.tighterLoad(on)
	}
	before := m.items
	for q := m.tail; q != nil && r.before(q); q = q.prev {
		if before -= q.Batch; p.doneBy(&plan, before+r.Batch, q.size) > q.deadline && p.doneBy(&plan, before, q.size) <= q.deadline {
			before = m.items
			break
		}
	}
	return p.doneBy(&plan, before, r.size)
}

// doneBy returns when a request of this size is done that so many items of its model precede;
// 0 if nothing runs before its batch.
func (p *clockworkPolicy) doneBy(plan *plan, before, size int) protocol.Time {
	wait, _ := p.queueTime(plan.on, before)
	if wait += plan.besides; wait == 0 {
		return 0
	}
	return plan.begin.Add(time.Duration(float64(wait)/plan.share) + plan.on.exec(size))
}

// queueTime returns how long the batches take that so many items of a copy's model fill, and
// how many items are left for the next one.
func (p *clockworkPolicy) queueTime(on *replica, items int) (takes time.Duration, rest int) {
	if items == 0 {
		return 0, 0
	}
	size := p.most(on, items)
	return time.Duration(items/size) * on.exec(size), items % size
}

// besides returns how long the queues of models take whose budgets are similar to that of a
// request and whose deadlines precede it. With several GPUs, or under overload, it is 0,
// because it is not known which of these queues will be served here.
func (p *clockworkPolicy) besides(r *request, on *replica) (work time.Duration) {
	if len(on.model.holders) > 1 || p.pressure >= overloaded {
		return 0
	}
	for _, t := range on.gpu.tight {
		if m := t.model; t != on && t.phase == resident && len(m.holders) == 1 && !t.tighter(on) && !on.tighter(t) {
			takes, rest := p.queueTime(t, m.itemsUntil(r.deadline))
			if work += takes; rest > 0 {
				work += t.exec(m.spec.Fits(rest))
			}
		}
	}
	return work
}

// noteRejectedDemand makes a rejected request count as demand for a load. Otherwise a model
// whose deadlines are shorter than its load would be rejected for ever.
func (p *clockworkPolicy) noteRejectedDemand(m *model) {
	if !m.hasCopy() {
		m.coldTickets = [2]uint64{p.ticket(), m.coldTickets[0]}
		m.rejectedDemandUntil = p.now.Add(p.config.DefaultSLO)
		p.markModel(m)
	}
}

// observeLoss raises pressure by one request that was lost because of other requests' work.
func (p *clockworkPolicy) observeLoss() { p.pressure += (1 - p.pressure) / lossMemory }

// finishIfIdle returns when a request would be done if a GPU that holds its model were
// idle; Never without such a GPU.
func (p *clockworkPolicy) finishIfIdle(r *request) protocol.Time {
	end := protocol.Never
	for _, h := range r.model.holders {
		end = min(end, p.inferArrival(h.gpu, r.inputBytes()).Add(h.exec(r.size)))
	}
	return end
}

// overloadQueueFactor bounds a model's queue under overload, relative to what the model can
// serve before the deadline; a queue of one largest batch is always admitted. It is above
// 1 because batches are larger if there are more requests to choose from.
const overloadQueueFactor = 4

// backlog returns how long a model's queue takes at its recent rate, if that is far too
// long for one more request; otherwise 0. Other models' queues do not count, because it is
// not known which of them will be served.
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

// quote returns when a copy could do a request.
func (p *clockworkPolicy) quote(h *replica, r *request) quote {
	inputs := r.inputBytes()
	q := quote{on: h, begin: p.start(h.gpu, inputs), exec: h.exec(r.size), inputs: inputs}
	if h.phase != resident {
		q.load = h.model.costs[h.gpu.kind].load.Value()
		from := p.now.Add(q.load)
		if h.phase == loading {
			from = h.transfer.expected
		}
		q.ready = from.Add(p.loadOverhead(&h.gpu.worker.delay, inputs))
	}
	return q
}

// quoteLoad returns when the fastest type of live GPU could do a request if it loaded the
// model now; false if no live GPU can hold the model.
func (p *clockworkPolicy) quoteLoad(r *request) (best quote, ok bool) {
	m, inputs := r.model, r.inputBytes()
	for kind, n := range m.capable {
		if n == 0 {
			continue
		}
		load := m.costs[kind].load.Value()
		q := quote{ready: p.now.Add(load + p.loadOverhead(&p.fleetDelay, inputs)), load: load, exec: m.costs[kind].exec(r.size), inputs: inputs}
		if !ok || q.end() < best.end() {
			best, ok = q, true
		}
	}
	return best, ok
}

// earliest returns the copy or load that could do a request first if no waiting request
// came before it, or the first copy found that is in time; false if no live GPU can hold
// the model.
func (p *clockworkPolicy) earliest(r *request) (best quote, ok bool) {
	for _, h := range r.model.replicas {
		if h.gpu.stalled {
			continue
		}
		h.gpu.slowdown.recover(p.now) // a refusal brings no execution that could correct it
		if q := p.quote(h, r); !ok || q.end() < best.end() {
			best, ok = q, true
			if q.end() <= r.deadline {
				return best, true
			}
		}
	}
	if ok {
		return best, true
	}
	return p.quoteLoad(r)
}

// offer implements policy. If copies are resident, only those count, because dropHopeless
// refuses waiting requests by them; otherwise copies that are being loaded, then loads.
func (p *clockworkPolicy) offer(r *request) (best quote, ok bool) {
	list := r.model.holders
	if len(list) == 0 {
		list = r.model.replicas
	}
	for _, h := range list {
		if h.gpu.stalled {
			continue
		}
		if q := p.quote(h, r); !ok || q.end() < best.end() {
			best, ok = q, true
		}
	}
	if ok {
		return best, true
	}
	return p.quoteLoad(r)
}

// atIdle implements policy: with the message delays of the copies' workers if copies are
// resident, otherwise with those of the fleet.
func (p *clockworkPolicy) atIdle(r *request) (exec, load time.Duration) {
	if cold, ok := p.quoteLoad(r); ok {
		load = cold.end().Sub(p.now)
		exec = p.inferDelay(&p.fleetDelay, r.inputBytes()) + cold.exec
	}
	if at := p.finishIfIdle(r); at != protocol.Never {
		exec = at.Sub(p.now)
	}
	return exec, load
}
