package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// settle sends everything that has become possible. It ends, for each turn
// either sends an action or leaves a dirty list shorter.
func (c *simple) settle() {
	for m, g := 0, 0; !c.fenced && (m < len(c.dirtyModels) || g < len(c.dirtyGPUs)); {
		if m < len(c.dirtyModels) {
			next := c.dirtyModels[m]
			m++
			next.dirty = false
			c.pump(next)
			c.place(next)
			continue
		}
		next := c.dirtyGPUs[g]
		g++
		next.dirty = false
		if next.worker != nil {
			c.fill(next)
			c.makeRoom(next)
		}
	}
	c.dirtyModels, c.dirtyGPUs = c.dirtyModels[:0], c.dirtyGPUs[:0]
}

// pump sends a model's requests round robin to the GPUs that hold it and have
// a free slot; what is left takes its turn at each of them.
func (c *simple) pump(m *model) {
	for m.head != nil && len(m.holders) > 0 {
		to, hope := c.pick(m)
		switch {
		case to != nil:
			c.infer(m.head, to)
		case !hope:
			c.refuse(m.head, c.late(m.head))
		default:
			for _, r := range m.holders {
				if r.turn.pos == 0 || r.turn.key > int64(m.head.seq) {
					r.gpu.turns.set(&r.turn, int64(m.head.seq), m.index)
				}
			}
			return
		}
	}
}

// pick finds the next holder with a free slot that meets the head's deadline;
// hope says that some holder would meet it.
func (c *simple) pick(m *model) (to *replica, hope bool) {
	for i := range m.holders {
		at := (m.next + i) % len(m.holders)
		r := m.holders[at]
		if !c.meets(m.head, r) {
			continue
		}
		hope = true
		if len(r.gpu.infers) < c.config.Outstanding {
			m.next = at + 1
			return r, true
		}
	}
	return nil, hope
}

func (c *simple) meets(r *request, on *replica) bool {
	return r.deadline.Add(-r.model.costs[on.gpu.kind].exec(r.size)) >= c.now
}

// fill gives the free slots of a GPU to the requests that wait longest.
func (c *simple) fill(g *gpu) {
	for len(g.infers) < c.config.Outstanding {
		first := g.turns.first()
		if first == nil {
			return
		}
		r := first.of
		g.turns.remove(first)
		m := r.model
		if m.head == nil || r.phase != resident {
			continue
		}
		switch {
		case int64(m.head.seq) > first.key:
		case c.meets(m.head, r):
			c.infer(m.head, r)
		default:
			if _, hope := c.pick(m); hope {
				continue // pump gives the turn back with the next head
			}
			c.refuse(m.head, c.late(m.head))
		}
		if m.head != nil {
			g.turns.set(first, int64(m.head.seq), m.index)
		}
	}
}

// infer sends one request as one action.
func (c *simple) infer(r *request, to *replica) {
	c.dequeue(r)
	took := r.model.costs[to.gpu.kind].exec(r.size)
	a := c.send(protocol.Infer, to, r.deadline.Add(-took), took)
	a.request, r.action = r, a
	sent := &c.out.Actions[len(c.out.Actions)-1].Action
	sent.Batch = r.size
	sent.Requests = []protocol.RequestRef{{ID: r.ID, Batch: r.Batch, Generated: r.Generated}}
	to.busy++
	to.used = c.ticket()
	to.gpu.infers = append(to.gpu.infers, a)
	c.out.Dispatches = append(c.out.Dispatches, protocol.Dispatch{ID: r.ID, Kind: protocol.ToWorker, Worker: to.gpu.worker.id, Cold: r.cold})
}

// send emits an action and waits for its result until it is overdue.
func (c *simple) send(kind protocol.Kind, on *replica, latest protocol.Time, takes time.Duration) *action {
	c.lastAction++
	a := &action{id: c.lastAction, kind: kind, replica: on, latest: latest, expected: c.now.Add(takes)}
	a.timer.of.action = a
	c.actions[a.id] = a
	c.timers.set(&a.timer, int64(latest.Add(takes).Add(c.config.Lag)), c.ticket())
	w := on.gpu.worker
	c.out.Actions = append(c.out.Actions, Addressed{Worker: w.id, Action: protocol.Action{
		ID: a.id, Issuer: c.issuer, Epoch: c.epoch, Incarnation: w.incarnation, Kind: kind,
		Earliest: c.now, Latest: latest, Expected: takes, GPU: on.gpu.id, Model: on.model.spec.Name,
	}})
	return a
}

// place promises a copy of a model that waits and that no GPU holds to the
// GPU where its load failed least, with most free pages.
func (c *simple) place(m *model) {
	if m.head == nil {
		return
	}
	for _, r := range m.replicas {
		if r.phase == pending || r.phase == loading || r.phase == resident {
			return
		}
	}
	var best *gpu
	for _, g := range c.gpus {
		if !c.capable(g, m) || g.replica(m) != nil {
			continue
		}
		if best == nil || g.failures[m] < best.failures[m] ||
			g.failures[m] == best.failures[m] && g.free()-g.promised > best.free()-best.promised {
			best = g
		}
	}
	if best == nil {
		return
	}
	r := c.newReplica(best, m, pending)
	best.pending = append(best.pending, r)
	best.promised += m.spec.Pages
	c.touchGPU(best)
}

func (c *simple) newReplica(g *gpu, m *model, p phase) *replica {
	r := &replica{model: m, gpu: g, phase: p, used: c.ticket()}
	r.turn.of, r.retry.of.replica = r, r
	g.replicas, m.replicas = append(g.replicas, r), append(m.replicas, r)
	return r
}

func (c *simple) capable(g *gpu, m *model) bool {
	return m.costs[g.kind] != nil && g.worker.hosts[m.spec.Name] && m.spec.Pages <= g.total-g.foreign
}

// makeRoom begins the first promised load once its pages are free, and sees
// to it that they become free.
func (c *simple) makeRoom(g *gpu) {
	for len(g.pending) > 0 && g.pending[0].model.head == nil {
		c.remove(g.pending[0])
	}
	if len(g.pending) == 0 {
		c.stopDraining(g)
		return
	}
	if g.loading != nil {
		return
	}
	r := g.pending[0]
	need := r.model.spec.Pages - g.free()
	if need <= 0 {
		c.load(r)
		return
	}
	for _, victim := range c.victims(g, need-g.leaving) {
		c.unhold(victim)
		victim.phase = draining
		g.leaving += victim.model.spec.Pages
		c.touchModel(victim.model)
		if victim.busy == 0 {
			c.evict(victim)
		}
	}
}

// victims chooses who leaves so that need pages become free: idle ones nobody
// waits for first, then other idle ones, then busy ones; least recently used
// first.
func (c *simple) victims(g *gpu, need int) []*replica {
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
		if need -= r.model.spec.Pages; need <= 0 {
			return list[:i+1]
		}
	}
	return list
}

func (c *simple) stopDraining(g *gpu) {
	if g.leaving == 0 {
		return
	}
	for _, r := range g.replicas {
		if r.phase == draining {
			g.leaving -= r.model.spec.Pages
			c.hold(r)
		}
	}
}

// hold makes a replica resident, unhold ends that.
func (c *simple) hold(r *replica) {
	r.phase = resident
	r.model.holders = append(r.model.holders, r)
	c.touchModel(r.model)
}

func (c *simple) unhold(r *replica) {
	r.model.holders = without(r.model.holders, r)
	r.gpu.turns.remove(&r.turn)
}

func (c *simple) load(r *replica) {
	g, pages := r.gpu, r.model.spec.Pages
	g.pending = without(g.pending, r)
	g.promised -= pages
	g.allocated += pages
	g.loading, r.phase = r, loading
	r.transfer = c.send(protocol.LoadWeights, r, c.now.Add(c.config.LoadWindow), r.model.costs[g.kind].load.Value())
}

// evict sends EvictWeights for a replica that is draining and idle, or that
// is doubted. Its pages stay allocated until it is sure.
func (c *simple) evict(r *replica) {
	if c.fenced {
		return
	}
	if r.phase == doubted {
		r.gpu.leaving += r.model.spec.Pages
	}
	r.phase = evicting
	r.transfer = c.send(protocol.EvictWeights, r, c.now.Add(c.config.LoadWindow), 0)
}

// remove ends a replica and gives its pages, or the promise of them, back.
func (c *simple) remove(r *replica) {
	g, pages := r.gpu, r.model.spec.Pages
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
	c.timers.remove(&r.retry)
	g.replicas = without(g.replicas, r)
	r.model.replicas = without(r.model.replicas, r)
	c.touchGPU(g)
	c.touchModel(r.model)
}
