package sched

import "math"

// weigh updates a model's place in the load queue: by its loadRank, or outside of it if no
// further copy is needed or possible.
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

// priority returns a model's load priority. For a model without a copy whose last request
// could still be done in time, it stays positive after the load budgets have passed: then
// the demand for execution counts, which is less. Otherwise its weights would never be
// loaded. It is 1 if requests were rejected for the missing weights and none waits.
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

// transfer continues a GPU's transfer lane: with its pending load, or, if the lane is free,
// with a load from the queue.
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

// retryWaiting marks the models that found no GPU for a copy before, so that serve tries
// again.
func (p *clockworkPolicy) retryWaiting() {
	for _, m := range p.waitingForSlot {
		m.demand.waitingForSlot = false
		p.markModel(m)
	}
	clear(p.waitingForSlot)
	p.waitingForSlot = p.waitingForSlot[:0]
}

// fullyReplicated reports whether every GPU that can hold the model has or gets a copy. A copy
// may be left on a GPU that cannot: one that is down, or whose worker has the model no more.
func (p *clockworkPolicy) fullyReplicated(m *model) bool {
	copies := 0
	for _, r := range m.replicas {
		if p.capable(r.gpu, m) {
			copies++
		}
	}
	return copies >= m.capableGPUs()
}

// grant assigns the free transfer lanes to the models that are first in the load queue.
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
			p.loadQueue.Remove(first) // no free lane suits it; other models may use them
			if !m.demand.waitingForSlot {
				m.demand.waitingForSlot = true
				p.waitingForSlot = append(p.waitingForSlot, m)
			}
		}
	}
}

// bestGPU returns the best GPU for another copy of a model, nil for none: among those whose
// transfer lane is free, the one where its load failed least, then one with enough free
// pages, then the one with the least work.
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

// hasPagesFor reports whether a GPU has pages for a model whose requests were rejected and
// none of which waits. Pages count if they are free, or if their model is idle and was
// last used before the second to last of those requests: a load is not worth it if the
// evicted model is used more often.
func (g *gpu) hasPagesFor(m *model) bool {
	pages := g.pagesOf(m) - g.vacant()
	if pages <= 0 {
		return true
	}
	for _, r := range g.replicas {
		if r.phase == resident && r.busy == 0 && r.model.head == nil && r.used < m.coldTickets[1] {
			if pages -= r.pages(); pages <= 0 {
				return true
			}
		}
	}
	return false
}

// spreadLimit returns how much work a GPU may have to get another copy: as much as the
// least busy GPU with a copy. On a busier GPU the copy would serve no request earlier, and
// may evict another model.
func (m *model) spreadLimit() int64 {
	least := int64(math.MaxInt64)
	for _, r := range m.replicas {
		if r.serves() {
			least = min(least, r.gpu.demand)
		}
	}
	return least
}

// better reports whether g is better than another GPU for a copy of a model.
func (p *clockworkPolicy) better(g, than *gpu, m *model) bool {
	if a, b := g.failures[m], than.failures[m]; a != b {
		return a < b
	}
	if a, b := g.vacant() >= g.pagesOf(m), than.vacant() >= than.pagesOf(m); a != b {
		return a
	}
	return g.demand < than.demand
}

// promise assigns a copy of a model to a GPU; makeRoom begins its load.
func (p *clockworkPolicy) promise(g *gpu, m *model) {
	g.waitersRetried = false
	r := p.newReplica(g, m, pending)
	g.pending = append(g.pending, r)
	g.promised += g.pagesOf(m)
	p.markGPU(g)
	m.spread(p.config.DefaultSLO)
}
