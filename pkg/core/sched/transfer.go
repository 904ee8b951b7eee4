package sched

import "math"

// weigh puts a model in its place among those that want a copy.
func (p *clockworkPolicy) weigh(m *model) {
	rank := p.loadRank(m)
	if rank <= 0 || !m.hasDemand(p.now) || p.fullyReplicated(m) {
		p.loadQueue.Remove(&m.demand.queueEntry)
		return
	}
	m.demand.queueEntry.Of = m
	if !m.demand.queueEntry.In() || m.demand.queueEntry.Key != -rank {
		p.loadQueue.Set(&m.demand.queueEntry, -rank, m.index)
	}
	p.grant()
}

// priority is a model's load priority. Where no GPU has a copy and what waits
// could still be done in time, it stays positive after the load budgets have
// passed (the demand for execution counts then, which is less): nobody else
// would bring the weights. It is least where nothing waits and requests were
// turned away.
func (p *clockworkPolicy) priority(m *model) int64 {
	priority := m.priority(p.config.DefaultSLO, p.now)
	if priority > 0 || !m.hasDemand(p.now) || m.hasCopy() {
		return priority
	}
	if m.head == nil {
		return 1
	}
	exec, load := p.alone(m)
	if p.now.Add(load+exec) > m.tail.deadline {
		return 0
	}
	return max(1, m.demand.exec)
}

// transfer sees to a GPU's transfer lane.
func (p *clockworkPolicy) transfer(g *gpu) {
	p.makeRoom(g)
	if g.loading == nil && len(g.pending) == 0 {
		p.transfersBusy = false
		if !g.waitersRetried {
			g.waitersRetried = true
			p.retryWaiting()
		}
		p.grant()
	}
}

// retryWaiting has the models looked at again that found no home before.
func (p *clockworkPolicy) retryWaiting() {
	for _, m := range p.waitingForSlot {
		m.demand.waitingForSlot = false
		p.markModel(m)
	}
	clear(p.waitingForSlot)
	p.waitingForSlot = p.waitingForSlot[:0]
}

// fullyReplicated: every GPU that could hold the model has a copy, or gets one.
func (p *clockworkPolicy) fullyReplicated(m *model) bool { return len(m.replicas) >= m.capableGPUs() }

// grant promises copies to GPUs whose transfer lane is free, to the models that
// come first.
func (p *clockworkPolicy) grant() {
	for {
		first := p.loadQueue.First()
		if first == nil || p.transfersBusy {
			return
		}
		m := first.Of
		m.demand.expire(p.now)
		if rank := p.loadRank(m); rank <= 0 || !m.hasDemand(p.now) {
			p.loadQueue.Remove(first)
			continue
		} else if -rank != first.Key {
			p.loadQueue.Set(first, -rank, m.index)
			if p.loadQueue.First() != first {
				continue
			}
		}
		if g := p.bestGPU(m); g != nil {
			p.promise(g, m)
		} else if !p.transfersBusy {
			p.loadQueue.Remove(first) // the free lanes are not for it; others may want them
			if !m.demand.waitingForSlot {
				m.demand.waitingForSlot = true
				p.waitingForSlot = append(p.waitingForSlot, m)
			}
		}
	}
}

// bestGPU is the best GPU for another copy of a model: one whose transfer lane is
// free, with pages free if there is such a one, and the least work.
func (p *clockworkPolicy) bestGPU(m *model) *gpu {
	var best *gpu
	most := int64(math.MaxInt64)
	if p.Relief {
		most = m.spreadLimit()
	}
	p.transfersBusy = true
	for _, g := range p.gpus {
		if g.stalled || g.loading != nil || len(g.pending) > 0 {
			continue
		}
		p.transfersBusy = false
		if g.demand > most || !p.capable(g, m) || g.replica(m) != nil || m.head == nil && !g.hasPagesFor(m) || !p.worthLoading(g, m) {
			continue
		}
		if best == nil || p.better(g, best, m) {
			best = g
		}
	}
	return best
}

// hasPagesFor: the GPU has pages for a model for which nobody waits, but requests were
// turned away, without those of models that are used, or were since the last of
// those requests but one. What is asked for less often than what it drives out is
// not worth a load.
func (g *gpu) hasPagesFor(m *model) bool {
	pages := m.spec.Pages - g.vacant()
	if pages <= 0 {
		return true
	}
	for _, r := range g.replicas {
		if r.phase == resident && r.busy == 0 && r.model.head == nil && r.used < m.coldTickets[1] {
			if pages -= r.model.spec.Pages; pages <= 0 {
				return true
			}
		}
	}
	return false
}

// spreadLimit is how much work a GPU may have to be worth another copy: what the least
// busy one with a copy has. Elsewhere another copy helps nobody and costs another
// model its place.
func (m *model) spreadLimit() int64 {
	least := int64(math.MaxInt64)
	for _, r := range m.replicas {
		if r.serves() {
			least = min(least, r.gpu.demand)
		}
	}
	return least
}

func (p *clockworkPolicy) better(g, than *gpu, m *model) bool {
	if a, b := g.failures[m], than.failures[m]; a != b {
		return a < b
	}
	if a, b := g.vacant() >= m.spec.Pages, than.vacant() >= m.spec.Pages; a != b {
		return a
	}
	return g.demand < than.demand
}

// promise sets a copy of a model in motion.
func (p *clockworkPolicy) promise(g *gpu, m *model) {
	g.waitersRetried = false
	r := p.newReplica(g, m, pending)
	g.pending = append(g.pending, r)
	g.promised += m.spec.Pages
	p.markGPU(g)
	m.spread(p.config.DefaultSLO)
}
