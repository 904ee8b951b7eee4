package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// Reason is why a request was refused, with the numbers that decided it. It is a plain
// value: a copy stays valid. Times are by the core's clock, 0 if not known.
type Reason struct {
	Why Why
	// At is when the request was refused, Arrived when it arrived, and Deadline when it
	// had to be done at the GPU. Reserve is the part of its budget after Deadline: for
	// the messages to the client, and a buffer.
	At, Arrived, Deadline protocol.Time
	Reserve               time.Duration
	// Ahead counts the requests of its model that waited when it arrived, Waiting those
	// that waited at At.
	Ahead, Waiting int
	// Cold: no GPU had its model when it arrived. The others are numbers at the time of
	// the refusal: resident copies of its model, live GPUs that can hold the model, and
	// models that wait for a load.
	Cold                 bool
	Copies, GPUs, Wanted int

	// Best is the copy, or the load, that could do it first. Earliest is when that is
	// done or, if later, when it is done behind what precedes it. Backlog is how long that
	// takes; 0 unless it decided.
	Best     Offer
	Earliest protocol.Time
	Backlog  time.Duration
	// Budget is the least budget with which the request would have been admitted; 0 if
	// not known, or if no budget would have helped.
	Budget time.Duration
	// Idle is when the request would have been done if a GPU with the weights had been
	// idle at its arrival, IdleLoad if an idle GPU had loaded them then.
	Idle, IdleLoad protocol.Time
}

// Offer is when one copy of a model could do a request: the later of lane and weights,
// plus the execution.
type Offer struct {
	// Worker and GPU have the copy; Worker "" stands for a GPU that would have to load
	// the weights first.
	Worker string
	GPU    int
	// Open counts the Infers sent to the GPU without a result; With is the model of the
	// first. Free is when they are done.
	Open int
	With string
	Free protocol.Time
	// Reach is how long an Infer sent now takes until it can begin at an idle GPU. To
	// and Back are the measured times of messages to the worker and from it.
	Reach, To, Back time.Duration
	// Ready is when the weights can be used, 0 if they are resident. Load is how long
	// their transfer takes, Exec the execution.
	Ready      protocol.Time
	Load, Exec time.Duration
}

// Why is the cause of a refusal, or of a late result.
type Why uint8

const (
	whyUnknown     Why = iota
	WhyFailed          // a worker failed to execute it, or to load its model
	WhyInactive        // this scheduler accepts no requests
	WhyOverdue         // its deadline had passed when it arrived
	WhyInvalid         // the model or the batch is invalid
	WhyNoGPU           // no GPU can hold its model
	WhyFull            // too many requests wait
	WhyTight           // an idle GPU with the weights would be too late
	WhyCold            // no GPU has the weights, and a load takes too long
	WhyBusy            // the GPUs with the weights have too much work already
	WhyBacklog         // too many requests of its model wait
	WhyBehind          // the GPUs with the weights executed other requests until it was too late
	WhyLoadBehind      // GPUs loaded other models until it was too late
	WhyWorkerLost      // its worker was lost, or the result of its action did not arrive
	WhyInput           // its input arrived too late at the worker
	WhyLateStart       // its action could not begin in its window
	WhyCrashed         // what executed it ended or hung
	WhyQuarantined     // its model is quarantined for crashes
	WhyRetired         // its model has left the set of models
	WhyStalled         // every GPU that can hold its model is stalled
	WhySlow            // done late: its execution took longer than expected
	WhySlowBefore      // done late: its execution began later than expected
	WhyWithdrawn       // its client went away
)

// quote is when one copy of a model, or a GPU that loads it now, could do a request.
// Decisions compare quotes; spell turns one into an Offer.
type quote struct {
	// on is the copy; nil for a GPU that would have to load the weights.
	on *replica
	// begin is when an Infer sent now can begin if the weights are there. ready is when
	// the weights can be used, 0 if they are resident.
	begin protocol.Time
	ready protocol.Time
	// load and exec are the durations of the transfer and the execution.
	load time.Duration
	exec time.Duration
	// inputs is the size of the request's inputs.
	inputs int64
}

// end returns when the request is done.
func (q *quote) end() protocol.Time { return max(q.begin, q.ready).Add(q.exec) }

// verdict is why admission refuses a request.
type verdict struct {
	// why is whyUnknown for a request that is too late by best; whyTooLate decides then.
	why Why
	// best is the quote with the earliest end.
	best quote
	// backlog is Reason.Backlog; with it, need is how long after its arrival the request
	// would have had to be allowed.
	backlog, need time.Duration
}

// notTaken outputs the reason for a request that was refused before any quote.
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
	case protocol.DeadlineUnmeetable:
		why = WhyStalled
	case protocol.ExecutionCrashed:
		why = WhyCrashed
	case protocol.ModelQuarantined:
		why = WhyQuarantined
	case protocol.ModelRetired:
		why = WhyRetired
	}
	c.out.Reasons = append(c.out.Reasons, c.circumstances(r, why))
}

// unmeetable returns the refusal of a request that would be done too late, and outputs its
// reason with the estimates that decided it, before the refusal changes them.
func (c *engine) unmeetable(r *request, v *verdict) *protocol.Error {
	reason := c.circumstances(r, v.why)
	c.weighed(&reason, r, v)
	if v.why == whyUnknown {
		reason.Why = reason.whyTooLate()
	}
	c.out.Reasons = append(c.out.Reasons, reason)
	end := reason.Earliest.Sub(c.now) + reason.Reserve // until the client has the answer
	refusal := protocol.Errorf(protocol.DeadlineUnmeetable, "done %.3f ms after arrival at the earliest, the deadline is at %.3f ms", ms(r.Elapsed+end), ms(r.Elapsed+r.Budget))
	refusal.EarliestMS, refusal.BudgetMS = ms(r.Elapsed+end), ms(r.Elapsed+r.Budget)
	return refusal
}

// whyTooLate returns the cause of a deadline that cannot be met.
func (r *Reason) whyTooLate() Why {
	switch {
	case r.Idle > r.Deadline:
		return WhyTight
	case r.Best.Ready != 0:
		return WhyCold
	}
	return WhyBusy
}

// refusedLater outputs the reason for a request that is refused after its admission.
func (c *engine) refusedLater(r *request, refusal *protocol.Error) {
	reason := c.circumstances(r, c.whyGivenUp(r, refusal))
	if reason.Why != WhyInactive {
		if best, ok := c.policy.offer(r); ok {
			c.weighed(&reason, r, &verdict{best: best})
		}
	}
	c.out.Reasons = append(c.out.Reasons, reason)
}

// whyGivenUp returns the cause of a refusal after admission. The last failed action counts
// first, then the error's code, then what the GPUs did meanwhile.
func (c *engine) whyGivenUp(r *request, refusal *protocol.Error) Why {
	switch {
	case refusal.Code == protocol.SchedulerLost:
		return WhyInactive
	case refusal.Code == protocol.Cancelled:
		return WhyWithdrawn
	case r.tried != whyUnknown:
		return r.tried
	case refusal.Code == protocol.WorkerLost:
		return WhyWorkerLost
	case refusal.Code == protocol.NoMemory, refusal.Code == protocol.ModelTooLarge:
		return WhyNoGPU
	case refusal.Code != protocol.DeadlineExceeded:
		return WhyFailed
	case len(r.model.holders) > 0:
		return WhyBehind
	case r.model.capableGPUs() == 0:
		return WhyNoGPU
	}
	return WhyLoadBehind
}

// circumstances returns a Reason without Best, Earliest, Backlog, Budget and idle times.
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

// weighed adds the fields that circumstances leaves out.
func (c *engine) weighed(reason *Reason, r *request, v *verdict) {
	q := &v.best
	reason.Best, reason.Backlog = c.spell(q), v.backlog
	reason.Earliest = max(q.end(), c.now.Add(v.backlog))
	need := q.end().Sub(r.arrived)
	reason.Budget = c.budget(max(need, v.need), r.wayBack)
	idle, load := c.policy.atIdle(r)
	reason.Idle, reason.IdleLoad = r.arrived.Add(idle), r.arrived.Add(load)
}

// spell turns a quote into an Offer.
func (c *engine) spell(q *quote) Offer {
	o := Offer{Ready: q.ready, Load: q.load, Exec: q.exec, Reach: c.policy.reachOf(nil, q.inputs), To: c.fleetDelay.toWorker.value(), Back: c.fleetDelay.fromWorker.value()}
	if q.on == nil {
		return o
	}
	g := q.on.gpu
	w := g.worker
	o.Worker, o.GPU, o.Open, o.Free = w.id, g.id, len(g.infers), g.free(c.now)
	o.Reach, o.To, o.Back = c.policy.reachOf(w, q.inputs), w.delay.toWorker.value(), w.delay.fromWorker.value()
	if o.Open > 0 {
		o.With = g.infers[0].replica.model.spec.Name
	}
	return o
}

// budget returns the least budget whose deadline at the GPU is at least `need` after the
// arrival.
func (c *engine) budget(need, wayBack time.Duration) time.Duration {
	budget := need
	for lacks := need - c.policy.target(budget, wayBack); lacks > 0; lacks = need - c.policy.target(budget, wayBack) {
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
