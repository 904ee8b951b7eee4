package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// A load takes time of two lanes: the weights' way to the GPU now, and the
// execution lane once they are there. Where either is short, the models that
// are worth it are loaded rather than those of which most work waits.

// loadRank is a model's rank among those that want a copy, the highest first;
// 0 or less wants none. The original ranks by load priority, which is work: dear
// models with large weights then go before many cheap ones. With worth, models
// without a copy go first, by when their load must begin; but where loads are
// too scarce for all, and for further copies, it counts how many of the requests
// that wait the present copies leave over, for each second of transfer (in
// thousandths).
func (p *clockworkPolicy) loadRank(m *model) int64 {
	priority := p.priority(m)
	if !p.Worth || priority <= 0 || m.head == nil {
		return priority
	}
	exec, load := p.alone(m)
	left, covered := float64(m.items), m.hasCopy()
	if !covered && p.now.Add(load+exec) > m.tail.deadline {
		return 0 // it would come too late for all of them
	}
	if !covered && p.loadShortage < shortageThreshold {
		return int64(protocol.Never - m.due(p.now.Add(load+exec)).Add(-load-exec))
	}
	if m.demand.load > 0 && covered {
		left *= float64(priority) / float64(m.demand.load)
	}
	return max(1, int64(1000*left/max(load, time.Microsecond).Seconds()))
}

// Above shortageThreshold, a share of missed cold requests, load bandwidth is the
// bottleneck.
const shortageThreshold = 1.0 / 64

// due returns the first deadline, among the first 64, that work ending at `end` still
// meets.
func (m *model) due(end protocol.Time) protocol.Time {
	r := m.head
	for range considered {
		if r.deadline >= end || r.next == nil {
			break
		}
		r = r.next
	}
	return r.deadline
}

// observeCold takes note of a cold request: 1 if no load came for it in time, else 0.
// When it changes what is scarce, the models that want copies are ranked anew.
func (p *clockworkPolicy) observeCold(share float64) {
	before := p.loadShortage >= shortageThreshold
	p.loadShortage += (share - p.loadShortage) / lossMemory
	if before != (p.loadShortage >= shortageThreshold) {
		for _, place := range p.loadQueue {
			p.markModel(place.Of)
		}
	}
}

// worthLoading: what waits for a model is worth the time of a GPU that it would take, at
// the price of that (price). The time of a GPU for which nothing waits has none.
func (p *clockworkPolicy) worthLoading(g *gpu, m *model) bool {
	if !p.Worth || m.head == nil || g.idle() {
		return true
	}
	cost := m.costs[g.kind]
	items := min(m.items, cost.sizes[len(cost.sizes)-1].Batch)
	takes := g.slowdown.of(cost.exec(max(m.spec.Fits(items), m.head.size)))
	return float64(items) > p.gpuTimePrice(g)*float64(takes)
}

// idle: nothing waits for the GPU, or it runs nothing.
func (g *gpu) idle() bool { return len(g.infers) == 0 || g.runQueue.First() == nil }
