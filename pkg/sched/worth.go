package sched

import "time"

// A load takes time of two lanes: the weights' way to the GPU now, and the
// execution lane once they are there. Where either is short, the models that
// are worth it are loaded rather than those of which most work waits.

// precedence is a model's rank among those that want a copy, the highest first;
// 0 or less wants none. The original ranks by load priority, which is work: where
// the transfer lanes are what is short, dear models with large weights then go
// before many cheap ones. With worth it is how many of the requests that wait the
// present copies leave over, for each second of transfer (in thousandths).
func (p *lanes) precedence(m *model) int64 {
	priority := p.priority(m)
	if !p.worth || priority <= 0 || m.head == nil {
		return priority
	}
	left := float64(m.items)
	if m.wanted.load > 0 && m.covered() {
		left *= float64(priority) / float64(m.wanted.load)
	}
	_, load := p.alone(m)
	return max(1, int64(1000*left/max(load, time.Microsecond).Seconds()))
}

// pays: what waits for a model is worth the time of a GPU that it would take, at
// the price of that (price). The time of a GPU without work has none.
func (p *lanes) pays(g *gpu, m *model) bool {
	if !p.worth || m.head == nil || g.idle() {
		return true
	}
	cost := m.costs[g.kind]
	items := min(m.items, cost.sizes[len(cost.sizes)-1].Batch)
	takes := g.pace.of(cost.exec(max(m.spec.Fits(items), m.head.size)))
	return float64(items) > p.price(g)*float64(takes)
}

// idle: the GPU has no Infer to run.
func (g *gpu) idle() bool { return len(g.infers) == 0 }
