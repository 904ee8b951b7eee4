package sched

import "time"

// A GPU is mute from when an Infer has no result muteAfter after it should have
// ended at the latest: it hangs, or its worker died and nobody has missed its
// heartbeats yet. Its copies count for nothing then: what waits for them goes to
// other copies, or has one loaded elsewhere. Any result makes it heard again, and
// so does the end of the wait for its results, after which it is tried anew.

// muteAfter is longer than Config.Silent, from which on a GPU gets no more work:
// a copy elsewhere costs another model its place.
const stallAfter = 50 * time.Millisecond

// silent takes note of a GPU that owes a result.
func (p *clockworkPolicy) stall(g *gpu) {
	g.stalled = true
	for _, r := range g.replicas {
		r.give(0)
		p.markModel(r.model)
	}
}

// heard takes note of a result.
func (c *engine) noteResult(g *gpu) {
	g.resultSeen = c.now
	c.unstall(g)
}

// unmute lets a GPU's copies count again.
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
