package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

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
