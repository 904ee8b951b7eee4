package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// settle lets the policy send everything that has become possible. It ends, because each
// round either sends an action or shortens a dirty list.
func (c *engine) settle() {
	for m, g := 0, 0; !c.fenced && (m < len(c.dirtyModels) || g < len(c.dirtyGPUs)); {
		if m < len(c.dirtyModels) {
			next := c.dirtyModels[m]
			m++
			next.dirty = false
			c.policy.serve(next)
			continue
		}
		next := c.dirtyGPUs[g]
		g++
		next.dirty = false
		if next.worker != nil {
			c.policy.fill(next)
		}
	}
	c.dirtyModels, c.dirtyGPUs = c.dirtyModels[:0], c.dirtyGPUs[:0]
}

// infer sends the members as one Infer of this batch size. It must begin by latest; takes
// is its expected duration.
func (c *engine) infer(members []*request, size int, to *replica, takes time.Duration, latest protocol.Time) {
	a := c.send(protocol.Infer, to, latest, takes)
	a.size, a.count = size, len(members)
	if a.suspect = len(members) == 1 && members[0].blamed(); a.suspect {
		to.gpu.worker.suspects++
	}
	order := &c.out.Actions[len(c.out.Actions)-1]
	sent := &order.Action
	sent.Batch = size
	worker := to.gpu.worker.id
	first := len(c.refs)
	for _, r := range members {
		if c.learner != nil {
			c.learner.started(r)
		}
		c.dequeue(r)
		r.action = a
		a.members = append(a.members, r)
		c.refs = append(c.refs, protocol.RequestRef{ID: r.ID, Batch: r.Batch, Generated: r.Generated})
		c.out.Dispatches = append(c.out.Dispatches, protocol.Dispatch{ID: r.ID, Kind: protocol.ToWorker, Worker: worker, Cold: r.cold, Crashes: r.Crashes})
	}
	a.inputs = inputBytesOf(members)
	c.sendInputs(a)
	sent.Requests = c.refs[first:len(c.refs):len(c.refs)]
	to.busy++
	to.used = c.ticket()
	g := to.gpu
	likely, begin := g.worker.delay.expected(members, a.inputs), c.policy.inferArrival(g, a.inputs)
	idle := len(g.infers) == 0
	a.ready = c.policy.inputsReady(g, a.inputs)
	g.lane.add(a, idle, begin, g.free(c.now))
	if idle {
		g.lane.hedge = max(0, begin.Sub(c.now)-likely)
	}
	g.infers = append(g.infers, a)
	order.Plan = to.plan(g.expectedFree(c.now), takes)
}

// plan returns the Plan of an action that ends at `end`.
func (r *replica) plan(end protocol.Time, takes time.Duration) Plan {
	return Plan{Begin: end.Add(-takes), End: end, Queued: r.model.queued, Copies: len(r.model.holders)}
}

// send outputs an action and starts the timer of its result.
func (c *engine) send(kind protocol.Kind, on *replica, latest protocol.Time, takes time.Duration) *action {
	c.lastAction++
	a := reused(&c.closed)
	*a = action{id: c.lastAction, kind: kind, replica: on, members: a.members[:0], sent: c.now, latest: latest, takes: takes, expected: c.now.Add(takes)}
	a.timer.Of.action = a
	c.actions[a.id] = a
	patience := c.config.Lag
	if kind == protocol.Infer {
		patience = min(patience, stallAfter)
	}
	w := on.gpu.worker
	c.timers.Set(&a.timer, int64(a.end().Add(patience+w.delay.fromWorker.value())), c.ticket())
	c.out.Actions = append(c.out.Actions, Addressed{Worker: w.id, Action: protocol.Action{
		ID: a.id, Issuer: c.issuer, Epoch: c.epoch, Incarnation: w.incarnation, Kind: kind,
		Earliest: c.now, Latest: latest, Expected: takes, GPU: on.gpu.id, Model: on.model.spec.Name,
	}, Plan: on.plan(c.policy.inferArrival(on.gpu, 0).Add(takes), takes)})
	return a
}

// newReplica adds a copy to the GPU and the model. The caller accounts for its pages.
func (c *engine) newReplica(g *gpu, m *model, p phase) *replica {
	r := &replica{model: m, gpu: g, phase: p, used: c.ticket()}
	r.queueEntry.Of, r.retry.Of.replica = r, r
	g.replicas, m.replicas = append(g.replicas, r), append(m.replicas, r)
	return r
}

// capable reports whether a GPU can hold and execute a model: it suits the model, and is not
// down.
func (c *engine) capable(g *gpu, m *model) bool { return !g.down && c.suits(g, m) }

// suits reports whether a GPU that serves can hold and execute a model: the model is in its
// worker's host memory, has estimates for the GPU's type, and fits into the pages of this epoch.
func (c *engine) suits(g *gpu, m *model) bool {
	return m.costs[g.kind] != nil && g.worker.hosted[m.spec.Name] && g.pagesOf(m) <= g.total-g.foreign
}

// makeRoom begins a GPU's first pending load if its pages are free. Otherwise it drains
// and evicts other copies for it. Pending loads of models without demand are removed.
func (c *engine) makeRoom(g *gpu) {
	for len(g.pending) > 0 && !g.pending[0].model.hasDemand(c.now) {
		c.remove(g.pending[0])
	}
	if len(g.pending) == 0 {
		c.stopDraining(g)
		return
	}
	if g.loading != nil || g.down {
		return
	}
	r := g.pending[0]
	need := r.pages() - g.vacant()
	if need <= 0 {
		c.load(r)
		return
	}
	for _, victim := range c.victims(g, need-g.leaving) {
		c.unhold(victim)
		victim.phase = draining
		g.leaving += victim.pages()
		c.markModel(victim.model)
		if victim.busy == 0 {
			c.evict(victim)
		}
	}
}

// victims selects the resident copies to evict so that `need` pages become free: first idle
// ones of models without waiting requests, then other idle ones, then busy ones; within
// each, the least recently used first. If all are too few, it returns all.
func (c *engine) victims(g *gpu, need int) []*replica {
	if need <= 0 {
		return nil
	}
	var list []*replica
	for _, r := range g.replicas {
		if r.phase == resident {
			list = append(list, r)
		}
	}
	class := func(r *replica) int {
		switch {
		case r.busy > 0:
			return 2
		case r.model.head != nil:
			return 1
		}
		return 0
	}
	slices.SortFunc(list, func(a, b *replica) int {
		if d := class(a) - class(b); d != 0 {
			return d
		}
		if a.used < b.used {
			return -1
		}
		return 1
	})
	for i, r := range list {
		if need -= r.pages(); need <= 0 {
			return list[:i+1]
		}
	}
	return list
}

// stopDraining makes draining copies resident again, because no load needs their pages. Those
// of retired models leave in any case.
func (c *engine) stopDraining(g *gpu) {
	if g.leaving == 0 {
		return
	}
	for _, r := range g.replicas {
		if r.phase == draining && !r.model.retired {
			g.leaving -= r.pages()
			c.hold(r)
		}
	}
}

// hold makes a replica resident: it may execute.
func (c *engine) hold(r *replica) {
	r.phase = resident
	r.model.queuedAs = queueVersion{}
	r.model.holders = append(r.model.holders, r)
	c.markModel(r.model)
}

// unhold takes a resident replica out of use; the caller sets its next phase.
func (c *engine) unhold(r *replica) {
	r.model.holders = without(r.model.holders, r)
	r.model.queuedAs = queueVersion{}
	c.policy.replicaLeaves(r)
}

// load begins the load of a pending replica: the promise of pages becomes an allocation.
func (c *engine) load(r *replica) {
	g, pages := r.gpu, r.pages()
	g.pending = without(g.pending, r)
	g.promised -= pages
	g.allocated += pages
	g.loading, r.phase = r, loading
	r.transfer = c.send(protocol.LoadWeights, r, c.now.Add(c.config.LoadWindow), r.model.costs[g.kind].load.Value())
}

// evict sends EvictWeights for a replica that is draining and idle, or in unknownPhase. Its
// pages stay allocated until a result confirms the eviction.
func (c *engine) evict(r *replica) {
	if c.fenced {
		return
	}
	if r.phase == unknownPhase {
		r.gpu.leaving += r.pages()
	}
	r.phase = evicting
	r.transfer = c.send(protocol.EvictWeights, r, c.now.Add(c.config.LoadWindow), 0)
}

// remove ends a replica in any phase, and frees its pages or the promise of them.
func (c *engine) remove(r *replica) {
	g, pages := r.gpu, r.pages()
	switch r.phase {
	case gone:
		return
	case pending:
		g.pending = without(g.pending, r)
		g.promised -= pages
	default:
		g.allocated -= pages
	}
	switch r.phase {
	case resident:
		c.unhold(r)
	case loading:
		g.loading = nil
	case draining, evicting:
		g.leaving -= pages
	}
	r.phase = gone
	g.waitersRetried = false
	r.give(0)
	c.timers.Remove(&r.retry)
	g.replicas = without(g.replicas, r)
	r.model.replicas = without(r.model.replicas, r)
	c.markGPU(g)
	c.markModel(r.model)
}
