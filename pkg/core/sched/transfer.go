package sched

import "math"

// weigh puts a model in its place among those that want a copy.
func (p *lanes) weigh(m *model) {
	rank := p.precedence(m)
	if rank <= 0 || !m.asked(p.now) || p.everywhere(m) {
		p.wants.Remove(&m.wanted.place)
		return
	}
	m.wanted.place.Of = m
	if !m.wanted.place.In() || m.wanted.place.Key != -rank {
		p.wants.Set(&m.wanted.place, -rank, m.index)
	}
	p.grant()
}

// priority is a model's load priority. Where no GPU has a copy and what waits
// could still be done in time, it stays positive after the load budgets have
// passed (the demand for execution counts then, which is less): nobody else
// would bring the weights. It is least where nothing waits and requests were
// turned away.
func (p *lanes) priority(m *model) int64 {
	priority := m.priority(p.config.DefaultSLO, p.now)
	if priority > 0 || !m.asked(p.now) || m.covered() {
		return priority
	}
	if m.head == nil {
		return 1
	}
	exec, load := p.alone(m)
	if p.now.Add(load+exec) > m.tail.deadline {
		return 0
	}
	return max(1, m.wanted.exec)
}

// transfer sees to a GPU's transfer lane.
func (p *lanes) transfer(g *gpu) {
	p.makeRoom(g)
	if g.loading == nil && len(g.pending) == 0 {
		p.transfersBusy = false
		if !g.asked {
			g.asked = true
			p.askHomeless()
		}
		p.grant()
	}
}

// askHomeless has the models looked at again that found no home before.
func (p *lanes) askHomeless() {
	for _, m := range p.homeless {
		m.wanted.homeless = false
		p.touchModel(m)
	}
	clear(p.homeless)
	p.homeless = p.homeless[:0]
}

// everywhere: every GPU that could hold the model has a copy, or gets one.
func (p *lanes) everywhere(m *model) bool { return len(m.replicas) >= m.homes() }

// grant promises copies to GPUs whose transfer lane is free, to the models that
// come first.
func (p *lanes) grant() {
	for {
		first := p.wants.First()
		if first == nil || p.transfersBusy {
			return
		}
		m := first.Of
		m.wanted.expire(p.now)
		if rank := p.precedence(m); rank <= 0 || !m.asked(p.now) {
			p.wants.Remove(first)
			continue
		} else if -rank != first.Key {
			p.wants.Set(first, -rank, m.index)
			if p.wants.First() != first {
				continue
			}
		}
		if g := p.home(m); g != nil {
			p.promise(g, m)
		} else if !p.transfersBusy {
			p.wants.Remove(first) // the free lanes are not for it; others may want them
			if !m.wanted.homeless {
				m.wanted.homeless = true
				p.homeless = append(p.homeless, m)
			}
		}
	}
}

// home is the best GPU for another copy of a model: one whose transfer lane is
// free, with pages free if there is such a one, and the least work.
func (p *lanes) home(m *model) *gpu {
	var best *gpu
	most := int64(math.MaxInt64)
	if p.relief {
		most = m.relief()
	}
	p.transfersBusy = true
	for _, g := range p.gpus {
		if g.mute || g.loading != nil || len(g.pending) > 0 {
			continue
		}
		p.transfersBusy = false
		if g.demand > most || !p.capable(g, m) || g.replica(m) != nil || m.head == nil && !g.spares(m) || !p.pays(g, m) {
			continue
		}
		if best == nil || p.better(g, best, m) {
			best = g
		}
	}
	return best
}

// spares: the GPU has pages for a model for which nobody waits, but requests were
// turned away, without those of models that are used, or were since the last of
// those requests but one. What is asked for less often than what it drives out is
// not worth a load.
func (g *gpu) spares(m *model) bool {
	pages := m.spec.Pages - g.vacant()
	if pages <= 0 {
		return true
	}
	for _, r := range g.replicas {
		if r.phase == resident && r.busy == 0 && r.model.head == nil && r.used < m.missing[1] {
			if pages -= r.model.spec.Pages; pages <= 0 {
				return true
			}
		}
	}
	return false
}

// relief is how much work a GPU may have to be worth another copy: what the least
// busy one with a copy has. Elsewhere another copy helps nobody and costs another
// model its place.
func (m *model) relief() int64 {
	least := int64(math.MaxInt64)
	for _, r := range m.replicas {
		if r.serves() {
			least = min(least, r.gpu.demand)
		}
	}
	return least
}

func (p *lanes) better(g, than *gpu, m *model) bool {
	if a, b := g.failures[m], than.failures[m]; a != b {
		return a < b
	}
	if a, b := g.vacant() >= m.spec.Pages, than.vacant() >= m.spec.Pages; a != b {
		return a
	}
	return g.demand < than.demand
}

// promise sets a copy of a model in motion.
func (p *lanes) promise(g *gpu, m *model) {
	g.asked = false
	r := p.newReplica(g, m, pending)
	g.pending = append(g.pending, r)
	g.promised += m.spec.Pages
	p.touchGPU(g)
	m.spread(p.config.DefaultSLO)
}
