package sched

import "time"

// A GPU is stalled once an Infer has no result stallAfter after it should have ended at
// the latest: the GPU hangs, or its worker died and its heartbeats are not missing yet.
// The copies on a stalled GPU do not count: waiting requests go to other copies, or cause
// a load on another GPU. A result of the GPU ends the stall. So does the loss of all its
// overdue actions (Config.Lag later): then the GPU gets work again.

// stallAfter is longer than Config.Silent, after which a GPU gets no more work, because a
// copy on another GPU may evict another model.
const stallAfter = 50 * time.Millisecond

// stall makes a GPU stalled, because the result of an Infer is overdue.
func (p *clockworkPolicy) stall(g *gpu) {
	g.stalled = true
	for _, r := range g.replicas {
		r.give(0)
		p.markModel(r.model)
	}
}

// noteResult records the time of a GPU's result, and ends its stall.
func (c *engine) noteResult(g *gpu) {
	g.resultSeen = c.now
	c.unstall(g)
}

// unstall ends a GPU's stall; its copies count again.
func (c *engine) unstall(g *gpu) {
	if !g.stalled {
		return
	}
	g.stalled, g.waitersRetried = false, false
	for _, r := range g.replicas {
		c.markModel(r.model)
	}
	c.markGPU(g)
}
