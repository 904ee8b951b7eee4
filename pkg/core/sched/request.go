package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// submit admits a request into its model's queue, or refuses it.
func (c *engine) submit(s protocol.Submission) {
	c.stats.Submitted++
	if c.known[s.ID] != nil {
		c.stats.Duplicates++
		return
	}
	r := c.newRequest()
	r.Submission, r.model, r.seq = s, c.names[s.Model], c.ticket()
	if r.model != nil {
		r.wayBack = c.wayBackOf(r)
		r.model.wayBack = r.wayBack
	}
	r.arrived, r.deadline = c.now, c.now.Add(c.policy.target(s.Budget, r.wayBack))
	r.rank = c.policy.rank(r)
	r.slack = (s.Budget - c.policy.target(s.Budget, 0)) / 2
	if m := r.model; m != nil {
		r.ahead, r.cold = m.queued, len(m.holders) == 0
		m.recent.add(c.now)
	}
	reasons := len(c.out.Reasons)
	if refusal := c.admit(r); refusal != nil {
		if len(c.out.Reasons) == reasons { // the policy outputs its own
			c.notTaken(r, refusal.Code)
		}
		c.ended = append(c.ended, r)
		c.stats.Refused++
		c.out.Refusals = append(c.out.Refusals, protocol.Dispatch{ID: s.ID, Kind: protocol.Refuse, Refusal: refusal})
		return
	}
	r.timer.Of.request = r
	c.known[s.ID] = r
	c.enqueue(r)
}

// admit returns why a request is refused at once; nil if it is admitted, with its size set.
func (c *engine) admit(r *request) *protocol.Error {
	m := r.model
	switch {
	case !c.active || c.fenced:
		return protocol.Refusal(protocol.SchedulerLost)
	case m == nil && c.retired[r.Model] != nil:
		return retiredModel(c.retired[r.Model])
	case m == nil:
		return protocol.Errorf(protocol.UnknownModel, "no model is called %q", r.Model)
	case r.Budget <= 0:
		refusal := protocol.Errorf(protocol.DeadlineExceeded, "the deadline had passed by %v when the scheduler got the request", -r.Budget)
		refusal.BudgetMS = ms(r.Elapsed + r.Budget)
		return refusal
	case r.Batch < 1:
		return protocol.Errorf(protocol.InvalidInput, "expected at least 1 item, got %d", r.Batch)
	}
	if r.size = m.spec.Fits(r.Batch); r.size == 0 {
		refusal := protocol.Errorf(protocol.BatchTooLarge, "model %s runs at most %d items at a time, got %d", r.Model, m.spec.MaxBatch(), r.Batch)
		refusal.Got, refusal.Limit = int64(r.Batch), int64(m.spec.MaxBatch())
		return refusal
	}
	if refusal := c.unservable(r); refusal != nil {
		return refusal
	}
	if refusal := c.banned(r); refusal != nil {
		return refusal
	}
	if refusal := c.policy.admit(r); refusal != nil {
		c.forgive(m, r.size)
		c.forgiveWayBack(r)
		return refusal
	}
	if c.stats.Queued >= c.config.MaxQueued {
		refusal := protocol.Errorf(protocol.Overloaded, "%d requests wait already", c.stats.Queued)
		refusal.Limit = int64(c.config.MaxQueued)
		return refusal
	}
	return nil
}

// unservable returns why none of the live GPUs can serve a request. It returns nil if there
// is no GPU.
func (c *engine) unservable(r *request) *protocol.Error {
	m := r.model
	if m.capableGPUs() > 0 || len(c.gpus) == 0 {
		return nil
	}
	if len(m.replicas) == 0 && !slices.ContainsFunc(c.workers, func(w *worker) bool { return w.hosted[m.spec.Name] }) {
		return protocol.Errorf(protocol.ModelUnavailable, "none of the %d workers that are there could load model %s", len(c.workers), m.spec.Name)
	}
	down, fits := 0, false // without the models of other epochs
	var nearest *gpu       // which lacks the fewest pages for it
	for _, g := range c.gpus {
		if g.down && g.worker.hosted[m.spec.Name] {
			down++
		}
		if m.costs[g.kind] == nil {
			continue
		}
		fits = fits || g.pagesOf(m) <= g.total
		if nearest == nil || g.shortage(m) < nearest.shortage(m) {
			nearest = g
		}
	}
	switch {
	case nearest == nil:
		return protocol.Errorf(protocol.UnknownModel, "model %s is quarantined: it has no valid profile", m.spec.Name)
	case nearest.shortage(m) <= 0 && down > 0:
		return c.stalledEverywhere(r, down)
	case nearest.shortage(m) <= 0:
		return nil
	}
	code := protocol.NoMemory
	if !fits {
		code = protocol.ModelTooLarge
	}
	pages, most := nearest.pagesOf(m), nearest.total-nearest.foreign
	refusal := protocol.Errorf(code, "model %s takes %d pages, a GPU has at most %d", m.spec.Name, pages, most)
	refusal.Got, refusal.Limit = int64(pages), int64(most)
	return refusal
}

// shortage returns how many pages more than it can ever free a GPU would need for a model.
func (g *gpu) shortage(m *model) int { return g.pagesOf(m) - (g.total - g.foreign) }

// enqueue puts a request into its model's queue. Its timer fires when even an idle GPU
// would be late.
func (c *engine) enqueue(r *request) {
	exec := c.minExec(r.model, r.size)
	r.model.put(r)
	r.waiting = true
	c.stats.Queued++
	c.timers.Set(&r.timer, int64(r.deadline.Add(-exec).Add(1)), c.ticket())
	if c.learner != nil {
		c.learner.queued(r)
	}
	c.markModel(r.model)
}

// dequeue removes a request from its model's queue.
func (c *engine) dequeue(r *request) {
	head := r.model.head == r
	r.model.take(r)
	r.waiting = false
	c.stats.Queued--
	c.timers.Remove(&r.timer)
	if head && r.model.head != nil {
		c.markModel(r.model) // the new head may be in time where the old one was not
	}
}

// expire refuses a waiting request that no GPU can serve in time any more. A request that
// was put back when its worker was lost, or its batch failed, gets that error.
func (c *engine) expire(r *request) {
	r.late = len(r.model.holders) > 0
	r.unloaded = !r.late
	if r.refusal != nil && (r.refusal.Code == protocol.WorkerLost || r.refusal.Code == protocol.BatchFailed) {
		c.refuse(r, r.refusal)
		return
	}
	c.refuse(r, c.late(r))
}

// late returns the error of a request that waited too long.
func (c *engine) late(r *request) *protocol.Error {
	refusal := protocol.Errorf(protocol.DeadlineExceeded, "waited %.3f ms for a GPU; what was left is too short to run it", ms(c.now.Sub(r.arrived)))
	refusal.BudgetMS = ms(r.Elapsed + r.Budget)
	return refusal
}

// refuse ends a request that waits or is a member of an action. A request of a lost front
// door ends without a refusal.
func (c *engine) refuse(r *request, refusal *protocol.Error) {
	if !r.orphan {
		c.refusedLater(r, refusal)
	}
	c.drop(r)
	if r.orphan {
		c.stats.Forgotten++
		return
	}
	if refusal.Code == protocol.Cancelled {
		c.stats.Withdrawn++
	} else {
		c.stats.Refused++
	}
	c.out.Refusals = append(c.out.Refusals, protocol.Dispatch{ID: r.ID, Kind: protocol.Refuse, Refusal: refusal})
}

// withdraw ends a request that waits and that nobody waits for. The GPUs with its model are
// planned anew, since it may have kept them from other work.
func (c *engine) withdraw(id protocol.RequestID) {
	r := c.known[id]
	if r == nil {
		return
	}
	r.withdrawn = true
	if !r.waiting {
		return
	}
	m := r.model
	c.refuse(r, withdrawn())
	c.markModel(m)
	for _, p := range m.replicas {
		c.markGPU(p.gpu)
	}
}

// withdrawn is the refusal of a request whose client went away.
func withdrawn() *protocol.Error {
	return protocol.Errorf(protocol.Cancelled, "the client went away before it was executed")
}

// drop removes a request from the queue or its action, and ends it. If it was the last
// one waiting, loads that are pending for its model may be removed.
func (c *engine) drop(r *request) {
	if r.waiting {
		c.dequeue(r)
		for _, p := range r.model.replicas {
			if p.phase == pending && r.model.head == nil {
				c.markGPU(p.gpu)
			}
		}
	} else if r.action != nil {
		r.action.members = without(r.action.members, r)
	}
	c.forget(r)
}

// forget ends a request and keeps its memory for a later one. Only submit reuses it, so its
// fields stay valid until the end of the step.
func (c *engine) forget(r *request) {
	if c.learner != nil {
		c.learner.ended(r)
	}
	delete(c.known, r.ID)
	c.ended = append(c.ended, r)
}

// newRequest returns an empty request.
func (c *engine) newRequest() *request {
	r := reused(&c.ended)
	*r = request{}
	return r
}

// reused removes and returns the last element of a list of reusable values, with its old
// content, or a new one if the list is empty.
func reused[T any](list *[]*T) *T {
	n := len(*list)
	if n == 0 {
		return new(T)
	}
	last := (*list)[n-1]
	*list = (*list)[:n-1]
	return last
}

// requests returns the known requests that match, in the order of their arrival.
func (c *engine) requests(match func(*request) bool) []*request {
	var found []*request
	for _, r := range c.known {
		if match(r) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *request) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return found
}

// doorLost marks the requests of a front door as orphans, and ends the waiting ones.
func (c *engine) doorLost(door uint64) {
	delete(c.waysBack, door)
	for _, r := range c.requests(func(r *request) bool { return r.ID.Door == door }) {
		r.orphan = true
		if r.action == nil {
			c.refuse(r, nil)
		}
	}
}

// ms returns a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / 1e6 }
