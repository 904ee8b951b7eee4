package sched

import (
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// join adds a worker and mirrors its GPUs. For an incarnation that is present already, it
// only updates the models in host memory: the mirror of the GPUs is newer than the state.
// Another incarnation replaces the present one, which is lost.
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
				worker: joined, id: state.ID, kind: c.kindOf(gpuKind{state.Type, w.Backend, w.BackendVersion, w.PageSize}),
				total: state.PagesTotal, failures: map[*model]int{}, restart: firstRestart,
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

// absence records the outstanding transfers of a lost worker. If the same incarnation
// returns, the worker was only cut off: it may still execute transfers that it had
// received, whatever its state says now.
type absence struct {
	// incarnation is the lost one; another one of the same worker holds nothing of it.
	incarnation uint64
	// until is when none of the transfers can happen any more.
	until protocol.Time
	// unknown are the copies with an outstanding transfer; at least one.
	unknown []unknownCopy
}

// unknownCopy is a copy that may or may not be on a GPU when its worker returns.
type unknownCopy struct {
	gpu   int // index of the GPU at its worker
	model *model
}

// recordAbsence records the absence of a lost worker if it had outstanding transfers, and
// removes absences whose transfers ended more than Config.Lag ago.
func (c *engine) recordAbsence(w *worker) {
	for id, a := range c.absent {
		if a.until.Add(c.config.Lag) < c.now {
			delete(c.absent, id)
		}
	}
	a := &absence{incarnation: w.incarnation}
	for _, g := range w.gpus {
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

// recoverUnknown handles the unknown copies of a GPU whose worker has returned. Each copy
// holds its pages until no outstanding transfer can load it any more, and is then evicted.
func (c *engine) recoverUnknown(g *gpu, before *absence) {
	for _, d := range before.unknown {
		r := g.replica(d.model)
		switch {
		case d.gpu != g.id || r == nil && g.pagesOf(d.model) > g.vacant():
			continue
		case r == nil:
			r = c.newUnknown(g, d.model)
		case r.phase == resident:
			c.unhold(r)
			r.phase = unknownPhase
		}
		c.timers.Set(&r.retry, int64(max(before.until, c.now.Add(c.config.EvictRetry))), c.ticket())
	}
}

// newUnknown adds a copy that may or may not be on a GPU. The caller has it evicted.
func (c *engine) newUnknown(g *gpu, m *model) *replica {
	g.allocated += g.pagesOf(m)
	return c.newReplica(g, m, unknownPhase)
}

// mirror takes over the weights on a GPU from its worker's state. What an earlier scheduler
// still loads or evicts may be there afterwards or not, and is evicted, as are models of
// earlier sets. Pages of models that are not of this epoch are foreign: never free, and never evicted by this core.
func (c *engine) mirror(g *gpu, state protocol.GPUState) {
	for i, name := range slices.Concat(state.Models, state.Moving) {
		m := c.heldAs(name)
		if m == nil || m.costs[g.kind] == nil || g.replica(m) != nil || g.allocated+g.pagesOf(m) > g.total {
			continue
		}
		if i >= len(state.Models) || m.retired {
			c.timers.Set(&c.newUnknown(g, m).retry, int64(c.now.Add(c.config.EvictRetry)), c.ticket())
			continue
		}
		g.allocated += g.pagesOf(m)
		c.hold(c.newReplica(g, m, resident))
	}
	g.foreign = min(max(0, state.PagesUsed-g.allocated), g.total-g.allocated)
	g.executor = state.Executor
}

// setHosted sets which models a worker has in host memory, and lets the policy look again
// at its GPUs and at all models with waiting requests.
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

// count adds a worker's GPUs to each model's number of capable GPUs (by 1) or removes them
// (by -1).
func (c *engine) count(w *worker, by int) {
	for _, g := range w.gpus {
		c.countGPU(g, by)
	}
}

func (c *engine) countGPU(g *gpu, by int) {
	for _, m := range c.models {
		if c.capable(g, m) {
			c.canHold(g, m, by)
		}
	}
}

// canHold notes that a GPU can hold a model (by 1), or no more (by -1).
func (c *engine) canHold(g *gpu, m *model, by int) {
	m.capable[g.kind] += by
	g.able += by
	c.recount = true
}

// listGPUs derives gpus and ofKind from workers.
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

// lose removes a worker with its copies and actions, and plans its requests again on the
// other workers.
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
			c.giveUp(a, true)
			again = append(again, a)
		}
		for _, r := range slices.Clone(g.replicas) {
			if r.transfer != nil {
				c.giveUp(r.transfer, true)
			}
			c.remove(r)
		}
	}
	c.timers.Remove(&w.inbound.timer)
	for _, g := range w.gpus {
		g.worker = nil
		c.timers.Remove(&g.nextSlotTimer)
	}
	for _, a := range again {
		c.crashed(a, crash{kind: WorkerCrashed, worker: w.id, lost: w, refusal: protocol.Errorf(protocol.WorkerLost, "worker %s was lost while it had the request", w.id)})
	}
}
