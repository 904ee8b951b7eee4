package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// A load uses two lanes of a GPU: the transfer lane now, and the execution lane once the
// weights are loaded. If either is a bottleneck, the models whose loads serve most
// requests are loaded, rather than those with most waiting work.

// loadRank returns a model's rank in the load queue, the highest first; 0 or less: no load.
// The original ranks by load priority, which is work: expensive models with large weights
// then precede many cheap ones. With Worth, models without a copy come first, by when
// their load must begin. For further copies, and for all while load bandwidth is the
// bottleneck, the rank is the number of waiting requests that the present copies cannot
// serve, per 1000 seconds of transfer.
func (p *clockworkPolicy) loadRank(m *model) int64 {
	priority := p.priority(m)
	if !p.Worth || priority <= 0 || m.head == nil {
		return priority
	}
	exec, load := p.alone(m)
	left, covered := float64(m.items), m.hasCopy()
	if !covered && p.now.Add(load+exec) > m.tail.deadline {
		return 0 // the load would be too late for every waiting request
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

// observeCold adds a cold request to loadShortage: share is 1 if no load served it in time,
// otherwise 0. If that changes whether load bandwidth is the bottleneck, the load queue is
// ranked again.
func (p *clockworkPolicy) observeCold(share float64) {
	before := p.loadShortage >= shortageThreshold
	p.loadShortage += (share - p.loadShortage) / lossMemory
	if before != (p.loadShortage >= shortageThreshold) {
		for _, place := range p.loadQueue {
			p.markModel(place.Of)
		}
	}
}

// worthLoading reports whether a model's waiting requests are worth the time that they
// would take on the GPU, at gpuTimePrice. The time of an idle GPU costs nothing.
func (p *clockworkPolicy) worthLoading(g *gpu, m *model) bool {
	if !p.Worth || m.head == nil || g.idle() {
		return true
	}
	cost := m.costs[g.kind]
	items := min(m.items, cost.largest.Batch)
	takes := g.slowdown.of(cost.exec(max(m.spec.Fits(items), m.head.size)))
	return float64(items) > p.gpuTimePrice(g)*float64(takes)
}

// idle reports whether a GPU executes nothing, or no copy waits for its execution lane.
func (g *gpu) idle() bool { return len(g.infers) == 0 || g.runQueue.First() == nil }
