package sched

import "time"

// A GPU is stalled once an Infer has no result stallAfter after it should have ended at
// the latest: the GPU hangs, or its worker died and its heartbeats are not missed yet.
// The copies on a stalled GPU count for nothing: requests that wait for them go to other
// copies, or have one loaded elsewhere. Any result ends the stall, and so does the end
// of the wait for its results, after which the GPU is tried again.

// stallAfter is longer than Config.Silent, from which on a GPU gets no more work:
// a copy elsewhere costs another model its place.
const stallAfter = 50 * time.Millisecond

// stall takes note of a GPU that owes a result.
func (p *clockworkPolicy) stall(g *gpu) {
	g.stalled = true
	for _, r := range g.replicas {
		r.give(0)
		p.markModel(r.model)
	}
}

// noteResult takes note of a result.
func (c *engine) noteResult(g *gpu) {
	g.resultSeen = c.now
	c.unstall(g)
}

// unstall lets a GPU's copies count again.
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
