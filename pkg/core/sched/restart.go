package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// A GPU whose executor ended is down until the next one is ready, which its worker starts at
// once. That takes much less than most deadlines allow, so a request that no other GPU can
// serve waits for it, if it is expected to be in time then. A GPU that hangs is not waited for:
// nobody knows until when.

// health takes what a worker says of one GPU.
func (c *engine) health(g *gpu, beat protocol.GPUBeat) {
	if beat.Executor != g.executor {
		g.executor = beat.Executor
		c.weightsLost(g)
	}
	switch {
	case beat.Restarting && g.restartingSince == 0:
		g.restartingSince = max(c.now, 1)
	case !beat.Restarting && g.restartingSince != 0:
		if !beat.Stalled {
			g.restart = c.now.Sub(g.restartingSince)
		}
		g.restartingSince = 0
	}
	c.setDown(g, beat.Stalled)
}

// back returns when a GPU that restarts is expected to serve again: when that has taken as
// long as the last time. If it takes longer, it is expected to take as much longer again.
func (g *gpu) back(now protocol.Time) protocol.Time {
	at := g.restartingSince.Add(g.restart)
	return at.Add(2 * max(0, now.Sub(at)))
}

// afterRestart returns when the first GPU that restarts would have loaded a model and executed
// a request; false if none could hold the model.
func (c *engine) afterRestart(r *request) (end protocol.Time, ok bool) {
	m := r.model
	for _, g := range c.gpus {
		if g.restartingSince == 0 || !c.suits(g, m) {
			continue
		}
		cost := m.costs[g.kind]
		at := g.back(c.now).Add(cost.load.Value() + cost.exec(r.size))
		if !ok || at < end {
			end, ok = at, true
		}
	}
	return end, ok
}

// stalledEverywhere returns why a request is refused whose model fits only GPUs that are down,
// of which there are some; nil if it may wait for one that restarts.
func (c *engine) stalledEverywhere(r *request, down int) *protocol.Error {
	end, ok := c.afterRestart(r)
	switch {
	case ok && end <= r.deadline:
		return nil
	case !ok:
		return protocol.Errorf(protocol.DeadlineUnmeetable, "every GPU that could run model %s is stalled (%d)", r.model.spec.Name, down)
	}
	earliest := r.Elapsed + end.Sub(c.now) + r.Budget - r.deadline.Sub(r.arrived)
	refusal := protocol.Errorf(protocol.DeadlineUnmeetable, "every GPU that could run model %s restarts (%d): done %.3f ms after arrival at the earliest, the deadline is at %.3f ms",
		r.model.spec.Name, down, ms(earliest), ms(r.Elapsed+r.Budget))
	refusal.EarliestMS, refusal.BudgetMS = ms(earliest), ms(r.Elapsed+r.Budget)
	return refusal
}

// firstRestart is how long a restart is expected to take of a GPU that has not restarted yet.
const firstRestart = 250 * time.Millisecond
