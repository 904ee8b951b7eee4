package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// admit refuses a request that no GPU can finish in time, given the actions already sent,
// and the load if no GPU holds the model. Under overload it also refuses a request whose
// model's queue is far too long.
func (p *clockworkPolicy) admit(r *request) *protocol.Error {
	r.model.minBudget.note(r.Budget, p.now)
	r.model.arrivals.note(p.now)
	p.budgets.note(r.Budget, p.now)
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
	if p.finishIfIdle(r) <= r.deadline { // an idle GPU would be in time
		p.observeLoss()
	}
	p.resetDelays(r.model)
	p.noteRejectedDemand(r.model)
	return err
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
		end = min(end, p.inferArrival(h.gpu).Add(h.exec(r.size)))
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

// quote returns when a copy could do a request of this size.
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

// quoteLoad returns when the fastest type of live GPU could do a request of this size if it
// loaded the model now; false if no live GPU can hold the model.
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

// earliest returns the copy or load that could do a request first if no waiting request
// came before it, or the first copy found that is in time; false if no live GPU can hold
// the model.
func (p *clockworkPolicy) earliest(r *request) (best quote, ok bool) {
	for _, h := range r.model.replicas {
		if h.gpu.stalled {
			continue
		}
		h.gpu.slowdown.recover(p.now) // a refusal brings no execution that could correct it
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
		if q := p.quote(h, r.size); !ok || q.end() < best.end() {
			best, ok = q, true
		}
	}
	if ok {
		return best, true
	}
	return p.quoteLoad(r.model, r.size)
}

// atIdle implements policy: with the message delays of the copies' workers if copies are
// resident, otherwise with those of the fleet.
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
