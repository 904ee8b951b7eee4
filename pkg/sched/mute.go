package sched

import "time"

// A GPU is mute from when its first action is overdue by muteAfter: it hangs, or
// its worker died and nobody has missed its heartbeats yet. Its copies count for
// nothing then: what waits for them goes to other copies, or has one loaded
// elsewhere. Any result makes it heard again, and so does the end of the wait for
// its results, after which it is tried anew.

// muteAfter is longer than Config.Silent, from which on a GPU gets no more work:
// a copy elsewhere costs another model its place.
const muteAfter = 50 * time.Millisecond

// listen finds out whether a GPU is mute, and else looks again when its first
// action will be overdue: once for many actions, and again where that is too
// early.
func (p *lanes) listen(g *gpu) {
	if g.mute || len(g.infers) == 0 {
		return
	}
	if g.late(p.now) <= muteAfter {
		if due := g.lane.begun.Add(g.infers[0].takes).Add(muteAfter); !g.watching.In() {
			p.timers.Set(&g.watching, int64(due+1), p.ticket())
		}
		return
	}
	g.mute = true
	for _, r := range g.replicas {
		r.give(0)
		p.touchModel(r.model)
	}
}

// heard ends a GPU's silence.
func (c *engine) heard(g *gpu) {
	if !g.mute {
		return
	}
	g.mute, g.asked = false, false
	for _, r := range g.replicas {
		c.touchModel(r.model)
	}
	c.touchGPU(g)
}
