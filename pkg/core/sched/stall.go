package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// A GPU is stalled once an Infer has no result stallAfter after it should have ended at
// the latest: the GPU hangs, or its worker died and its heartbeats are not missing yet.
// The copies on a stalled GPU do not count: waiting requests go to other copies, or cause
// a load on another GPU. A result of the GPU ends the stall. So does the loss of all its
// overdue actions (Config.Lag later): then the GPU gets work again.
//
// A worker also says itself that a GPU gets nothing done: an execution takes far longer than
// expected, or the executor ended and the next one is not ready (GPUHealth). Such a GPU is
// down, which stalls it until the worker says otherwise. It counts for nothing: it gets no
// work, cannot hold a model, and its pending loads go elsewhere.

// stallAfter is longer than Config.Silent, after which a GPU gets no more work, because a
// copy on another GPU may evict another model.
const stallAfter = 50 * time.Millisecond

// overdue handles the timer of an action without a result: the action counts as failed. An
// Infer gets Config.Lag more, because it may still execute; meanwhile its GPU is stalled.
func (c *engine) overdue(a *action) {
	if a.kind == protocol.Infer && !a.overdue {
		a.overdue = true
		c.timers.Set(&a.timer, int64(a.end().Add(c.config.Lag)), c.ticket())
		// If a later result of the GPU has arrived, only this result was lost.
		if g := a.replica.gpu; c.learner != nil && !g.stalled && g.resultSeen < a.end() {
			c.stall(g)
		}
		return
	}
	c.stats.Lost++
	r := a.replica
	hung := crash{kind: ExecutionHung, worker: r.gpu.worker.id, certain: r.gpu.down && a.hung, silent: r.gpu.worker}
	silent := r.gpu.resultSeen < a.end()
	a.missed = true // they may wait for a worker that takes nothing
	c.giveUp(a, false)
	defer c.reuse(a)
	c.unstallIdle(r.gpu)
	refusal := protocol.Errorf(protocol.WorkerLost, "worker %s sent no result of %s in time", r.gpu.worker.id, a.kind)
	switch {
	case a.kind == protocol.Infer && silent: // it may have hung the GPU
		c.idle(r)
		hung.refusal = refusal
		c.crashed(a, hung)
	case a.kind == protocol.Infer:
		c.idle(r)
		c.replanAll(a, refusal, WhyWorkerLost)
	case r.phase == loading:
		r.gpu.failures[r.model]++
		c.markUnknown(r)
		c.loadFailed(r.model, refusal)
	case r.phase == evicting:
		c.evict(r)
	}
}

// stall makes a GPU stalled: its copies do not count.
func (c *engine) stall(g *gpu) {
	g.stalled = true
	for _, r := range g.replicas {
		r.give(0)
		c.markModel(r.model)
	}
}

// noteResult records the time of a result that shows that a GPU executes, and ends its
// stall. A refusal of an action that did not begin, or a transfer, does not show that: the
// action before it may still hang.
func (c *engine) noteResult(a *action, res *protocol.Result) {
	g := a.replica.gpu
	if a.kind == protocol.Infer && (res.Begin != 0 || res.Code == protocol.OK) {
		g.resultSeen = c.now
		c.unstall(g)
	}
	c.unstallIdle(g)
}

// unstallIdle ends a GPU's stall if none of its actions is overdue.
func (c *engine) unstallIdle(g *gpu) {
	if !slices.ContainsFunc(g.infers, func(a *action) bool { return a.overdue }) {
		c.unstall(g)
	}
}

// unstall ends a GPU's stall; its copies count again.
func (c *engine) unstall(g *gpu) {
	if !g.stalled || g.down {
		return
	}
	g.stalled, g.waitersRetried = false, false
	for _, r := range g.replicas {
		c.markModel(r.model)
	}
	c.markGPU(g)
}

// gpuHealth takes what a worker says of its GPUs.
func (c *engine) gpuHealth(e *GPUHealth) {
	at := slices.IndexFunc(c.workers, func(w *worker) bool { return w.id == e.ID && w.incarnation == e.Incarnation })
	if at < 0 {
		return
	}
	for _, g := range c.workers[at].gpus {
		var beat protocol.GPUBeat
		if g.id >= 0 && g.id < len(e.GPUs) {
			beat = e.GPUs[g.id]
		}
		c.health(g, beat)
	}
}

// setDown makes a GPU down, or ends that.
func (c *engine) setDown(g *gpu, down bool) {
	if g.down == down {
		return
	}
	c.countGPU(g, -1)
	g.down = down
	c.countGPU(g, +1)
	kind := GPUServes
	if down {
		kind = GPUStalled
		c.stall(g)
		if len(g.infers) > 0 {
			g.infers[0].hung = true
		}
		for _, r := range slices.Clone(g.pending) {
			c.remove(r)
		}
	} else {
		c.unstallIdle(g)
	}
	c.out.Incidents = append(c.out.Incidents, Incident{Kind: kind, Worker: g.worker.id, GPU: g.id})
	g.waitersRetried = false
	c.markGPU(g)
	for _, m := range c.models {
		if m.head != nil {
			c.markModel(m) // whether it can be held, and where, has changed
		}
	}
}

// strayLoss takes a late result that says that an executor ended: the action was given up,
// and the weights are gone all the same.
func (c *engine) strayLoss(res *protocol.Result) {
	for _, w := range c.workers {
		for _, g := range w.gpus {
			if w.id == res.Worker && w.incarnation == res.Incarnation && g.id == res.GPU {
				c.weightsLost(g)
			}
		}
	}
}

// weightsLost evicts the copies of a GPU whose executor ended: the weights are gone, which
// the evictions confirm. Copies that are being loaded are evicted afterwards.
func (c *engine) weightsLost(g *gpu) {
	for _, r := range slices.Clone(g.replicas) {
		if r.phase == loading {
			r.doubtful = true
			continue
		}
		c.doubt(r)
	}
	c.markGPU(g)
}

// doubt evicts a copy whose weights may be gone, once its last Infer has ended.
func (c *engine) doubt(r *replica) {
	switch r.phase {
	case resident:
		c.unhold(r)
	case draining:
		r.gpu.leaving -= r.pages()
	default:
		return
	}
	r.phase = unknownPhase
	c.markModel(r.model)
	c.idle(r)
}
