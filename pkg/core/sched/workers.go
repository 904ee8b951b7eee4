package sched

import (
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// join takes a worker in. The same incarnation again only brings its models
// in host memory up to date: the mirror knows its GPUs better.
func (c *engine) join(w protocol.WorkerState) {
	if !c.active {
		return
	}
	c.adopt(w.Profiles)
	at, found := slices.BinarySearchFunc(c.workers, w.ID, func(have *worker, id string) int { return strings.Compare(have.id, id) })
	if found && c.workers[at].incarnation == w.Incarnation {
		c.setHosted(c.workers[at], w)
		return
	}
	if found {
		c.lose(WorkerLost{ID: w.ID})
	}
	before := c.absent[w.ID]
	delete(c.absent, w.ID)
	joined := &worker{id: w.ID, incarnation: w.Incarnation}
	var states []protocol.GPUState
	for _, state := range w.GPUs {
		same := func(g *gpu) bool { return g.id == state.ID }
		if !slices.ContainsFunc(joined.gpus, same) {
			states = append(states, state)
			g := &gpu{
				worker: joined, id: state.ID, kind: c.kindOf(state.Type),
				total: state.PagesTotal, failures: map[*model]int{},
			}
			g.nextSlotTimer.Of.gpu = g
			g.slowdown.factor = 1
			joined.gpus = append(joined.gpus, g)
		}
	}
	c.workers = slices.Insert(c.workers, at, joined)
	c.listGPUs()
	for i, g := range joined.gpus {
		c.mirror(g, states[i])
		if before != nil && before.incarnation == w.Incarnation {
			c.recoverUnknown(g, before)
		}
	}
	c.setHosted(joined, w)
}

// absence is what was under way at a worker when it was lost. If the same
// life comes back, the worker was only cut off: what it had been told may
// still happen until then, whatever its state says now.
type absence struct {
	incarnation uint64
	until       protocol.Time
	foreign     map[int]int // pages by GPU
	unknown     []unknownCopy
}

// unknownCopy is a copy of which nobody knows whether it will be on the GPU.
type unknownCopy struct {
	gpu   int
	model *model
}

// recordAbsence keeps the absence of a worker that has transfers open, and forgets
// those that are over.
func (c *engine) recordAbsence(w *worker) {
	for id, a := range c.absent {
		if a.until.Add(c.config.Lag) < c.now {
			delete(c.absent, id)
		}
	}
	a := &absence{incarnation: w.incarnation, foreign: map[int]int{}}
	for _, g := range w.gpus {
		a.foreign[g.id] = g.foreign
		for _, r := range g.replicas {
			switch {
			case r.transfer != nil:
				a.until = max(a.until, protocol.Time(r.transfer.timer.Key))
			case r.retry.In():
				a.until = max(a.until, protocol.Time(r.retry.Key))
			default:
				continue
			}
			a.unknown = append(a.unknown, unknownCopy{g.id, r.model})
		}
	}
	if len(a.unknown) > 0 {
		c.absent[w.id] = a
	}
}

// recoverUnknown ends the doubts about a GPU that is back: each copy is evicted once
// nothing can bring it any more, and takes its pages until then.
func (c *engine) recoverUnknown(g *gpu, before *absence) {
	g.foreign = min(before.foreign[g.id], g.total-g.allocated)
	for _, d := range before.unknown {
		pages := d.model.spec.Pages
		r := g.replica(d.model)
		switch {
		case d.gpu != g.id || r == nil && pages > g.vacant():
			continue
		case r == nil:
			r = c.newReplica(g, d.model, unknownPhase)
			g.allocated += pages
		default:
			c.unhold(r)
			r.phase = unknownPhase
		}
		c.timers.Set(&r.retry, int64(max(before.until, c.now.Add(c.config.EvictRetry))), c.ticket())
	}
}

// mirror takes over what is on a GPU. Pages of models that are not of this
// epoch are foreign: never free, never evicted by us.
func (c *engine) mirror(g *gpu, state protocol.GPUState) {
	for _, name := range state.Models {
		m := c.names[name]
		if m == nil || m.costs[g.kind] == nil || g.replica(m) != nil || g.allocated+m.spec.Pages > g.total {
			continue
		}
		g.allocated += m.spec.Pages
		c.hold(c.newReplica(g, m, resident))
	}
	g.foreign = min(max(0, state.PagesUsed-g.allocated), g.total-g.allocated)
}

// setHosted sets which models a worker has in host memory.
func (c *engine) setHosted(w *worker, state protocol.WorkerState) {
	c.count(w, -1)
	w.hosted = make(map[string]bool, len(state.Models))
	for _, m := range state.Models {
		w.hosted[m.Name] = true
	}
	c.count(w, +1)
	for _, g := range w.gpus {
		g.waitersRetried = false
		c.markGPU(g)
	}
	for _, m := range c.models {
		if m.head != nil {
			c.markModel(m)
		}
	}
}

// count keeps each model's number of capable GPUs.
func (c *engine) count(w *worker, by int) {
	for _, m := range c.models {
		for _, g := range w.gpus {
			if c.capable(g, m) {
				m.capable[g.kind] += by
			}
		}
	}
}

func (c *engine) listGPUs() {
	c.gpus = nil
	clear(c.ofKind)
	for _, w := range c.workers {
		c.gpus = append(c.gpus, w.gpus...)
	}
	for _, g := range c.gpus {
		c.ofKind[g.kind]++
	}
}

// lose drops a worker with everything on it, and plans its requests anew.
func (c *engine) lose(e WorkerLost) {
	at := slices.IndexFunc(c.workers, func(w *worker) bool { return w.id == e.ID })
	if at < 0 || e.Incarnation != 0 && c.workers[at].incarnation != e.Incarnation {
		return
	}
	w := c.workers[at]
	c.workers = slices.Delete(c.workers, at, at+1)
	c.listGPUs()
	c.count(w, -1)
	c.recordAbsence(w)
	var again []*action
	for _, g := range w.gpus {
		for _, a := range slices.Clone(g.infers) {
			c.close(a, c.now)
			again = append(again, a)
		}
		for _, r := range slices.Clone(g.replicas) {
			if r.transfer != nil {
				c.close(r.transfer, c.now)
			}
			c.remove(r)
		}
	}
	for _, g := range w.gpus {
		g.worker = nil
		c.timers.Remove(&g.nextSlotTimer)
	}
	for _, a := range again {
		c.replanAll(a, protocol.Errorf(protocol.WorkerLost, "worker %s was lost while it had the request", w.id), WhyWorkerLost)
	}
}
