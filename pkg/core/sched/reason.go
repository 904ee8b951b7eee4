package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// Reason is why a request was refused, in the numbers by which that was decided. It
// is a value without memory of its own: who keeps one copies it. Times are of the
// core, 0 where they are not known.
type Reason struct {
	Why Why
	// At is when it was refused; Arrived when it came, and Deadline when it had to be
	// done at the GPU. Reserve is what of its budget lies behind that: for the way of
	// the answer, and a buffer.
	At, Arrived, Deadline protocol.Time
	Reserve               time.Duration
	// Ahead requests of its model waited when it came; Waiting wait now, with it.
	Ahead, Waiting int
	// Cold: no GPU had its model when it came. Copies of it are on so many of the GPUs
	// that can hold it now, and Wanted is how many models wait for a load.
	Cold                 bool
	Copies, GPUs, Wanted int

	// Best is the copy, or the load, by which it could be done first; Earliest is when
	// that is, or later where the queue of its model takes Backlog under overload.
	Best     Offer
	Earliest protocol.Time
	Backlog  time.Duration
	// Budget is the least with which it would have been taken as things stood; 0 where
	// that is not known, or no budget helps.
	Budget time.Duration
	// Idle is when it would have been done had a GPU with the weights been idle when
	// it came, and IdleLoad had an idle GPU loaded them then.
	Idle, IdleLoad protocol.Time
}

// Offer is when a request could be done by one copy of its model, and what that is
// made of: the later of lane and weights, and the execution.
type Offer struct {
	// Worker and GPU have the copy; "" is a GPU that would have to load it first.
	Worker string
	GPU    int
	// Open executions were sent there and have no result, the first of them of
	// model With. Free is when they are done.
	Open int
	With string
	Free protocol.Time
	// Reach is how long an Infer sent now takes until it can begin at an idle GPU;
	// To and Back are what messages to the worker and from it take, as learned.
	Reach, To, Back time.Duration
	// Ready is when the weights can be used, 0 if they are there; Load is how long
	// their transfer takes, Exec the execution.
	Ready      protocol.Time
	Load, Exec time.Duration
}

// Why is what a refusal is due to.
type Why uint8

const (
	whyUnknown    Why = iota
	WhyFailed         // at a worker, or its load
	WhyInactive       // this scheduler takes no requests
	WhyOverdue        // its deadline had passed when it came
	WhyInvalid        // it asks for what is not served
	WhyNoGPU          // none can hold its model
	WhyFull           // too many requests wait
	WhyTight          // an idle GPU with the weights would be too late
	WhyCold           // no GPU has the weights, and a load takes too long
	WhyBusy           // GPUs with the weights have too much to do already
	WhyBacklog        // too many of its model wait, under overload
	WhyBehind         // GPUs with the weights ran others until it was too late
	WhyLoadBehind     // weights of others were loaded until it was too late
	WhyWorkerLost     // with it, or a result of its action did not come
	WhyInput          // its input came too late to the worker
	WhyLateStart      // its action's turn came later than planned
)

// quote is an Offer as it is reckoned with.
type quote struct {
	on    *replica      // nil: a GPU that would have to load the weights
	begin protocol.Time // when an Infer sent now can begin, but for the weights
	ready protocol.Time // when the weights can be used; 0: they can
	load  time.Duration // their transfer
	exec  time.Duration
}

func (q *quote) end() protocol.Time { return max(q.begin, q.ready).Add(q.exec) }

// verdict is what admission finds against a request.
type verdict struct {
	why     Why
	best    quote
	backlog time.Duration
}

// notTaken says why a request cannot be served at all.
func (c *engine) notTaken(r *request, code protocol.Code) {
	why := WhyInvalid
	switch code {
	case protocol.SchedulerLost:
		why = WhyInactive
	case protocol.DeadlineExceeded:
		why = WhyOverdue
	case protocol.NoMemory, protocol.ModelTooLarge:
		why = WhyNoGPU
	case protocol.Overloaded:
		why = WhyFull
	}
	c.out.Reasons = append(c.out.Reasons, c.circumstances(r, why))
}

// unmeetable refuses a request that would end too late, and says why before anything
// is learned from that.
func (c *engine) unmeetable(r *request, v *verdict) *protocol.Error {
	reason := c.circumstances(r, v.why)
	c.weighed(&reason, r, v)
	if v.why == whyUnknown {
		reason.Why = reason.whyTooLate()
	}
	c.out.Reasons = append(c.out.Reasons, reason)
	end := reason.Earliest.Sub(c.now) + reason.Reserve // the answer takes its time as well
	err := protocol.Errorf(protocol.DeadlineUnmeetable, "done %.3f ms after arrival at the earliest, the deadline is at %.3f ms", ms(r.Elapsed+end), ms(r.Elapsed+r.Budget))
	err.EarliestMS, err.BudgetMS = ms(r.Elapsed+end), ms(r.Elapsed+r.Budget)
	return err
}

func (r *Reason) whyTooLate() Why {
	switch {
	case r.Idle > r.Deadline:
		return WhyTight
	case r.Best.Ready != 0:
		return WhyCold
	}
	return WhyBusy
}

// refusedLater says why a request was given up that had been taken.
func (c *engine) refusedLater(r *request, err *protocol.Error) {
	reason := c.circumstances(r, c.whyGivenUp(r, err))
	if reason.Why != WhyInactive {
		if best, ok := c.policy.offer(r); ok {
			c.weighed(&reason, r, &verdict{best: best})
		}
	}
	c.out.Reasons = append(c.out.Reasons, reason)
}

func (c *engine) whyGivenUp(r *request, err *protocol.Error) Why {
	switch {
	case err.Code == protocol.SchedulerLost:
		return WhyInactive
	case r.tried != whyUnknown:
		return r.tried
	case err.Code == protocol.WorkerLost:
		return WhyWorkerLost
	case err.Code == protocol.NoMemory, err.Code == protocol.ModelTooLarge:
		return WhyNoGPU
	case err.Code != protocol.DeadlineExceeded:
		return WhyFailed
	case len(r.model.holders) > 0:
		return WhyBehind
	case r.model.capableGPUs() == 0:
		return WhyNoGPU
	}
	return WhyLoadBehind
}

// circumstances are a Reason without what it would have taken.
func (c *engine) circumstances(r *request, why Why) Reason {
	reason := Reason{
		Why: why, At: c.now, Arrived: r.arrived, Deadline: r.deadline, Reserve: r.Budget - r.deadline.Sub(r.arrived),
		Ahead: r.ahead, Cold: r.cold, Wanted: c.policy.wanting(),
	}
	if m := r.model; m != nil {
		reason.Waiting, reason.Copies, reason.GPUs = m.queued, len(m.holders), m.capableGPUs()
	}
	return reason
}

// weighed adds what it would have taken.
func (c *engine) weighed(reason *Reason, r *request, v *verdict) {
	q := &v.best
	reason.Best, reason.Backlog = c.spell(q), v.backlog
	reason.Earliest = max(q.end(), c.now.Add(v.backlog))
	need := q.end().Sub(r.arrived)
	if v.why == WhyBacklog {
		need = max(need, v.backlog/overloadQueueFactor+1)
	}
	reason.Budget = c.budget(need)
	idle, load := c.policy.atIdle(r)
	reason.Idle, reason.IdleLoad = r.arrived.Add(idle), r.arrived.Add(load)
}

// spell writes an Offer out.
func (c *engine) spell(q *quote) Offer {
	o := Offer{Ready: q.ready, Load: q.load, Exec: q.exec, Reach: c.policy.reachOf(nil), To: c.fleetDelay.toWorker.value(), Back: c.fleetDelay.fromWorker.value()}
	if q.on == nil {
		return o
	}
	g := q.on.gpu
	w := g.worker
	o.Worker, o.GPU, o.Open, o.Free = w.id, g.id, len(g.infers), g.free(c.now)
	o.Reach, o.To, o.Back = c.policy.reachOf(w), w.delay.toWorker.value(), w.delay.fromWorker.value()
	if o.Open > 0 {
		o.With = g.infers[0].replica.model.spec.Name
	}
	return o
}

// budget is the least of which so much is left before the deadline at the GPU.
func (c *engine) budget(need time.Duration) time.Duration {
	budget := need
	for lacks := need - c.policy.target(budget); lacks > 0; lacks = need - c.policy.target(budget) {
		budget += lacks
	}
	return budget
}

// Waits implements Core.
func (c *engine) Waits(id protocol.RequestID) (Reason, bool) {
	r := c.known[id]
	if r == nil || !r.waiting {
		return Reason{}, false
	}
	why := WhyLoadBehind
	if len(r.model.holders) > 0 {
		why = WhyBehind
	}
	reason := c.circumstances(r, why)
	if best, ok := c.policy.offer(r); ok {
		c.weighed(&reason, r, &verdict{best: best})
	}
	return reason, true
}
