package sched

import (
	"clockwork/pkg/protocol"
)

// result takes a worker's answer. One to no known action (a duplicate, one
// given up, another issuer's) only counts.
func (c *simple) result(res protocol.Result) {
	if !c.active {
		return
	}
	if res.Epoch > c.epoch {
		c.fence()
	}
	a := c.actions[res.Action]
	if res.Issuer != c.issuer {
		return
	}
	if a == nil || a.replica.gpu.worker.id != res.Worker || a.kind != res.Kind {
		c.stats.Strays++
		return
	}
	c.close(a)
	switch a.kind {
	case protocol.Infer:
		c.inferred(a, res)
	case protocol.LoadWeights:
		c.loaded(a, res)
	case protocol.EvictWeights:
		c.evicted(a, res)
	}
	if res.Code == protocol.StaleIncarnation || res.Code == protocol.ShuttingDown {
		w := a.replica.gpu.worker
		if w != nil {
			c.lose(WorkerLost{ID: w.id, Incarnation: w.incarnation})
		}
	}
}

// fence stops this core: a worker obeys a newer scheduler. What waits is
// handed back; what runs ends by its results.
func (c *simple) fence() {
	if c.fenced {
		return
	}
	c.fenced = true
	for _, r := range c.requests(func(r *request) bool { return r.action == nil }) {
		c.refuse(r, protocol.Refusal(protocol.SchedulerLost))
	}
}

// close takes an action out of what is outstanding.
func (c *simple) close(a *action) {
	delete(c.actions, a.id)
	c.timers.remove(&a.timer)
	r := a.replica
	if a.kind != protocol.Infer {
		r.transfer = nil
		return
	}
	r.busy--
	r.gpu.infers = without(r.gpu.infers, a)
	c.touchGPU(r.gpu)
}

// idle evicts a draining replica after its last work.
func (c *simple) idle(r *replica) {
	if r.phase == draining && r.busy == 0 {
		c.evict(r)
	}
}

func (c *simple) inferred(a *action, res protocol.Result) {
	r := a.request
	if res.Code == protocol.OK {
		if d := measured(res); d > 0 && r != nil {
			r.model.costs[a.replica.gpu.kind].at(r.size).Add(d)
			if r.model.head != nil {
				c.touchModel(r.model) // a GPU that was too slow for it may not be now
			}
		}
		if r != nil {
			delete(c.known, r.ID)
			c.stats.Succeeded++
		}
		c.idle(a.replica)
		return
	}
	if res.Code == protocol.WeightsMissing {
		c.remove(a.replica)
	}
	c.idle(a.replica)
	if r != nil {
		c.replan(r, failure(res))
	}
}

// failure says to a client what a worker's code means for its request.
func failure(res protocol.Result) *protocol.Error {
	code := protocol.Internal
	switch res.Code {
	case protocol.InvalidInput, protocol.BackendError, protocol.NoMemory:
		code = res.Code
	case protocol.TooLate, protocol.InputMissing:
		code = protocol.DeadlineExceeded
	case protocol.StaleIncarnation, protocol.ShuttingDown, protocol.Cancelled:
		code = protocol.WorkerLost
	case protocol.StaleEpoch:
		code = protocol.SchedulerLost
	}
	return protocol.Errorf(code, "worker %s answered %s with %s: %s", res.Worker, res.Kind, res.Code, res.Message)
}

// replan puts a request whose action failed back into its queue, or refuses
// it when that cannot help.
func (c *simple) replan(r *request, err *protocol.Error) {
	r.attempts++
	r.failure = err
	end, _, ok := c.soonest(r.model, r.size)
	switch {
	case c.fenced:
		c.refuse(r, protocol.Refusal(protocol.SchedulerLost))
	case r.orphan, r.attempts >= c.config.Attempts, err.Code == protocol.InvalidInput:
		c.refuse(r, err)
	case r.deadline <= c.now, ok && c.now.Add(end) > r.deadline:
		if err.Code == protocol.Internal {
			err = c.late(r)
		}
		c.refuse(r, err)
	default:
		if r.action != nil {
			r.action.request = nil
			r.action = nil
		}
		c.stats.Replanned++
		c.enqueue(r)
	}
}

func (c *simple) loaded(a *action, res protocol.Result) {
	r := a.replica
	g, m := r.gpu, r.model
	if r.phase != loading {
		return
	}
	if res.Code == protocol.OK || res.Code == protocol.AlreadyLoaded {
		if d := measured(res); d > 0 && res.Code == protocol.OK {
			m.costs[g.kind].load.Add(d)
		}
		delete(g.failures, m)
		g.loading = nil
		r.used = c.ticket()
		c.hold(r)
		c.touchGPU(g)
		return
	}
	g.failures[m]++
	if res.Code == protocol.WeightsInUse {
		c.doubt(r)
	} else {
		c.remove(r)
	}
	c.loadFailed(m, failure(res))
}

// loadFailed counts one attempt for every request that waits for the model.
func (c *simple) loadFailed(m *model, err *protocol.Error) {
	for r := m.head; r != nil; {
		next := r.next
		r.attempts++
		r.failure = err
		if r.attempts >= c.config.Attempts {
			c.refuse(r, err)
		}
		r = next
	}
	c.touchModel(m)
}

// doubt evicts a replica of which nobody knows whether it is on the GPU.
func (c *simple) doubt(r *replica) {
	r.gpu.loading = nil
	r.phase = doubted
	c.touchGPU(r.gpu)
	c.evict(r)
}

func (c *simple) evicted(a *action, res protocol.Result) {
	r := a.replica
	if r.phase != evicting {
		return
	}
	switch res.Code {
	case protocol.OK, protocol.WeightsMissing, protocol.UnknownModel:
		c.remove(r)
	default:
		c.timers.set(&r.retry, int64(c.now.Add(c.config.EvictRetry)), c.ticket())
	}
}

// overdue treats an action without a result as failed.
func (c *simple) overdue(a *action) {
	c.stats.Lost++
	c.close(a)
	r := a.replica
	err := protocol.Errorf(protocol.WorkerLost, "worker %s gave no result of %s in time", r.gpu.worker.id, a.kind)
	switch {
	case a.kind == protocol.Infer:
		c.idle(r)
		if a.request != nil {
			c.replan(a.request, err)
		}
	case r.phase == loading:
		r.gpu.failures[r.model]++
		c.doubt(r)
		c.loadFailed(r.model, err)
	case r.phase == evicting:
		c.evict(r)
	}
}
