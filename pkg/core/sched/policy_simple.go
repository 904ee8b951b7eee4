package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// simplePolicy is policy simple (package comment): each GPU has at most Config.Outstanding
// actions, whatever their duration. gpu.runQueue is ordered by the arrival of the models'
// first requests.
type simplePolicy struct{ *engine }

// simpleModel is the policy's state of a model.
type simpleModel struct {
	// roundRobin is the index in holders where the next search for a copy begins; it may be
	// past the end.
	roundRobin int
}

func (c *simplePolicy) target(budget, _ time.Duration) time.Duration { return budget }
func (c *simplePolicy) rank(r *request) int64                        { return int64(r.seq) }
func (c *simplePolicy) replicaLeaves(r *replica)                     { r.gpu.runQueue.Remove(&r.queueEntry) }

// admit refuses a request that even an idle GPU could not do in time.
func (c *simplePolicy) admit(r *request) *protocol.Error {
	if best, ok := c.earliestIfIdle(r.model, r.size); ok && best.end() > r.deadline {
		return c.unmeetable(r, &verdict{best: best})
	}
	return nil
}

// offer implements policy by idle lanes: the policy does not predict when lanes are free.
func (c *simplePolicy) offer(r *request) (quote, bool) { return c.earliestIfIdle(r.model, r.size) }

// atIdle implements policy without message delays.
func (c *simplePolicy) atIdle(r *request) (exec, load time.Duration) {
	_, load = c.alone(r.model)
	exec = c.minExec(r.model, r.size)
	return exec, load + exec
}

func (c *simplePolicy) reachOf(*worker, int64) time.Duration { return c.config.Future }

// wanting counts the pending loads.
func (c *simplePolicy) wanting() (n int) {
	for _, g := range c.gpus {
		n += len(g.pending)
	}
	return n
}

// serve sends requests of a model, or gets it a copy if no GPU has one.
func (c *simplePolicy) serve(m *model) {
	c.pump(m)
	c.place(m)
}

func (c *simplePolicy) arrivalOf(*gpu, int64) arrivalTimes {
	return arrivalTimes{begin: c.now.Add(c.config.Future)}
}

// fill uses a GPU's free slots, then its transfer lane.
func (c *simplePolicy) fill(g *gpu) {
	c.start(g)
	c.makeRoom(g)
}

// pump sends a model's requests round robin to the GPUs that hold it and have
// a free slot. If requests are left, the model enters the run queue of each of them.
func (c *simplePolicy) pump(m *model) {
	for m.head != nil && len(m.holders) > 0 {
		to, hope := c.pick(m)
		switch {
		case to != nil:
			c.run(m.head, to)
		case !hope:
			c.refuse(m.head, c.late(m.head))
		default:
			for _, r := range m.holders {
				if !r.queueEntry.In() || r.queueEntry.Key > int64(m.head.seq) {
					r.gpu.runQueue.Set(&r.queueEntry, int64(m.head.seq), m.index)
				}
			}
			return
		}
	}
}

// pick returns the next holder with a free slot that meets the head's deadline, nil for
// none. hope reports whether some holder, with a free slot or not, would meet it.
func (c *simplePolicy) pick(m *model) (to *replica, hope bool) {
	for i := range m.holders {
		at := (m.roundRobin + i) % len(m.holders)
		r := m.holders[at]
		if r.gpu.down {
			hope = true // it may serve again, and another GPU gets a copy meanwhile
			continue
		}
		if !c.meets(m.head, r) {
			continue
		}
		hope = true
		if c.free(r.gpu, m.head) {
			m.roundRobin = at + 1
			return r, true
		}
	}
	return nil, hope
}

// meets reports whether a copy that executes a request now meets its deadline.
func (c *simplePolicy) meets(r *request, on *replica) bool {
	return r.deadline.Add(-r.model.costs[on.gpu.kind].exec(r.size)) >= c.now
}

// free reports whether a GPU has a slot for a request. A blamed request has the GPU for
// itself.
func (c *simplePolicy) free(g *gpu, r *request) bool {
	return c.takesMore(g) && len(g.infers) < c.config.Outstanding && (!r.blamed() || g.isolated())
}

// start gives the free slots of a GPU to the requests that wait longest. If that is a blamed
// request, no other goes before it.
func (c *simplePolicy) start(g *gpu) {
	g.draining = false
	for c.takesMore(g) && len(g.infers) < c.config.Outstanding {
		first := g.runQueue.First()
		if first == nil {
			return
		}
		r := first.Of
		if head := r.model.head; head != nil && head.blamed() && !g.isolated() {
			g.draining = true // the end of what is outstanding fills the GPU again
			return
		}
		g.runQueue.Remove(first)
		m := r.model
		if m.head == nil || r.phase != resident {
			continue
		}
		switch {
		case int64(m.head.seq) > first.Key:
		case c.meets(m.head, r):
			c.run(m.head, r)
		default:
			if _, hope := c.pick(m); hope {
				continue // pump queues it again with the next head
			}
			c.refuse(m.head, c.late(m.head))
		}
		if m.head != nil {
			g.runQueue.Set(first, int64(m.head.seq), m.index)
		}
	}
}

// run sends one request as one action.
func (c *simplePolicy) run(r *request, to *replica) {
	took := r.model.costs[to.gpu.kind].exec(r.size)
	c.infer([]*request{r}, r.size, to, took, r.deadline.Add(-took))
}

// place assigns a copy of a model with waiting requests and without a copy to a GPU: the
// one where its load failed least, then the one with most free pages.
func (c *simplePolicy) place(m *model) {
	if m.head == nil {
		return
	}
	for _, r := range m.replicas {
		if r.phase <= resident && !r.gpu.down {
			return
		}
	}
	var best *gpu
	for _, g := range c.gpus {
		if !c.capable(g, m) || g.replica(m) != nil {
			continue
		}
		if best == nil || g.failures[m] < best.failures[m] ||
			g.failures[m] == best.failures[m] && g.vacant()-g.promised > best.vacant()-best.promised {
			best = g
		}
	}
	if best == nil {
		return
	}
	r := c.newReplica(best, m, pending)
	best.pending = append(best.pending, r)
	best.promised += best.pagesOf(m)
	c.markGPU(best)
}
