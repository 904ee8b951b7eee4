package sched

import (
	"slices"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// clockworkPolicy is the planner: the family of policies that predict when each GPU's
// lanes are free and send work only shortly before (package comment). Its members differ
// in their Options alone.
//
// Invariant: between steps, and without Options.Defer, a GPU whose execution lane takes
// more work (open) has an empty run queue, because all that could run there has been
// sent. So a request that joins a queue that is not empty need not visit the GPUs.
type clockworkPolicy struct {
	*engine
	Options
	// loadQueue are the models with demand and a positive loadRank that can get another
	// copy, the highest rank first.
	loadQueue heap.Heap[*model]
	// members are the requests of the batch being selected; every selection overwrites
	// them.
	members []*request
	// bound bounds the batches of this epoch, nil without Options.NewBound.
	bound BatchBound
	// waitingForSlot are models that needed a copy when no GPU with a free transfer lane
	// suited them, each once. They are tried again when a GPU changes (waitersRetried).
	waitingForSlot []*model
	// transfersBusy: the last search found no GPU with a free transfer lane. Cleared
	// when a lane becomes free.
	transfersBusy bool
	// pressure is an EWMA of the share of requests lost because of other requests' work,
	// 0 to 1, over lossMemory requests.
	pressure float64
	// budgets is the range of recent budgets.
	budgets budgetRange
	// loadShortage is an EWMA of the share of cold requests that no load served in time,
	// 0 to 1, over lossMemory cold requests.
	loadShortage float64
}

// modelPlan is the planner's state of a model.
type modelPlan struct {
	demand    modelDemand
	minBudget minBudget
	arrivals  arrivalRate
	// coldTickets are the tickets of the last two requests that found no copy, the
	// latest first; 0 for none.
	coldTickets [2]uint64
	// rejectedDemandUntil is until when a rejected request counts as demand for a load.
	rejectedDemandUntil protocol.Time
	// servedAt is when a batch was last sent or, if later, when a request last entered
	// the empty queue; 0 before the first request.
	servedAt protocol.Time
	// itemInterval is the mean time per item while requests waited, an EWMA with weight
	// 1/8 over batches.
	itemInterval time.Duration
	// pace is the time from one of its batches to the next, where they follow each other on
	// a GPU, in expected durations of a batch: an EWMA with weight 1/8. On the only GPU with
	// the model it is above 1 by the time that the lane stands idle between them.
	pace float64
	// queuedAs is the version by which all resident copies are queued, at GPUs that take
	// no more work; zero if that is not so.
	queuedAs queueVersion
}

// requestPlan is the planner's state of a request.
type requestPlan struct {
	// demand is what it adds to the load priorities (demand.go).
	demand demand
}

// replicaPlan is the planner's state of a copy.
type replicaPlan struct {
	// share is its part of the model's demand for execution, in units of demand.exec.
	share int64
}

// gpuPlan is the planner's state of a GPU.
type gpuPlan struct {
	// nextSlotTimer fires when the execution lane takes more work; fill sets it if copies
	// wait in the run queue.
	nextSlotTimer heap.Node[due]
	// blocked are copies that left the run queue while their models' requests were too
	// late for this GPU; fill queues them again.
	blocked []*replica
	// waitersRetried: waitingForSlot has been tried again since this GPU last changed in
	// a way that matters to it.
	waitersRetried bool
	// slackAt is when slack was computed, 0 for never. slack is how long a batch may
	// take before other models on the GPU miss their budgets (batch_limit.go).
	slackAt protocol.Time
	slack   time.Duration
	// tightAt is when tight was computed, 0 for never. tight are copies with recent
	// requests, those with the tightest budgets, ascending (blocking.go).
	tightAt protocol.Time
	tight   []*replica
	// last is the model whose batch was sent last.
	last *model
	// keptFree: nothing runs although copies wait, because it would cost more than it
	// serves.
	keptFree bool
	// served and busyTime are the mean number of requests and the mean duration, in
	// nanoseconds, of an execution: EWMAs with weight 1/32.
	served, busyTime float64
	// demand is the sum of its replicas' shares, O_g of the load priorities.
	demand int64
	// inputBytes is the mean size of the inputs of an Infer: an EWMA with weight 1/8.
	inputBytes float64
}

func newClockworkPolicy(c *engine, o Options) *clockworkPolicy {
	p := &clockworkPolicy{engine: c, Options: o}
	p.reset()
	return p
}

// reset removes the state of an epoch.
func (p *clockworkPolicy) reset() {
	*p = clockworkPolicy{engine: p.engine, Options: p.Options}
	if p.NewBound != nil {
		p.bound = p.NewBound()
	}
}

// target keeps a reserve before the deadline for the messages to the client: a share of the
// budget, or what the way back is known to take, if that is more. With the original's rule,
// the result is later than the deadline if the budget is tight.
func (p *clockworkPolicy) target(budget, wayBack time.Duration) time.Duration {
	if p.Original {
		return min(budget, max(budget-p.config.Buffer, p.config.Ahead+p.config.Buffer))
	}
	reserve := min(p.config.Buffer, budget/20) + min(p.replyDelay(), budget/2)
	if p.WayBack && wayBack > 0 {
		reserve = max(reserve, min(p.fleetDelay.fromWorker.value()+wayBack, budget/2))
	}
	return budget - reserve
}

// rank orders a queue by deadline with EDF, otherwise by arrival.
func (p *clockworkPolicy) rank(r *request) int64 {
	if p.EDF {
		return int64(r.deadline)
	}
	return int64(r.seq)
}

// queued adds a request to its model's demand.
func (p *clockworkPolicy) queued(r *request) {
	m := r.model
	if len(m.holders) == 0 {
		m.coldTickets = [2]uint64{p.ticket(), m.coldTickets[0]}
	}
	if m.queued == 1 {
		m.servedAt = p.now // the interval does not include the time without requests
	}
	c := p.config
	exec, load := p.alone(m)
	window := max(r.deadline.Sub(p.now), time.Millisecond)
	budget := min(c.MaxLoadBudget, window-(load+exec+c.Buffer+c.Ahead))
	budget = max(budget, c.Ahead+c.Buffer)
	m.demand.exec -= r.demand.exec // from an earlier attempt
	r.demand = demand{
		exec:  int64(float64(exec) * float64(c.DefaultSLO) / float64(window)),
		load:  int64(float64(exec) * float64(c.DefaultSLO) / float64(budget)),
		until: p.now.Add(budget),
	}
	m.demand.add(r)
}

// started ends a request's demand for a load, and counts a cold request as served.
func (p *clockworkPolicy) started(r *request) {
	r.model.demand.loaded(r)
	if r.cold {
		p.observeCold(0)
	}
}

// ended removes a request's demand. A request that no GPU could serve in time counts in
// pressure if a GPU had its model, and in loadShortage if none had.
func (p *clockworkPolicy) ended(r *request) {
	m := r.model
	if r.late {
		p.observeLoss()
	}
	if r.unloaded {
		p.observeCold(1)
	}
	m.demand.loaded(r)
	m.demand.exec -= r.demand.exec
	r.demand.exec = 0
	p.markModel(m)
}

// served updates the interval between a model's items, and its pace if it follows itself on
// the GPU, by a batch that is sent now.
func (m *model) served(now protocol.Time, items int, on *replica, takes time.Duration) {
	if m.servedAt != 0 {
		if on.gpu.last == m {
			m.pace += (float64(now.Sub(m.servedAt))/float64(max(1, takes)) - m.pace) / 8
		}
		m.itemInterval += (now.Sub(m.servedAt)/time.Duration(items) - m.itemInterval) / 8
	}
	m.servedAt = now
}

func (p *clockworkPolicy) reachOf(w *worker, inputs int64) time.Duration {
	if w == nil {
		return p.inferDelay(&p.fleetDelay, inputs)
	}
	return p.inferDelay(&w.delay, inputs)
}

func (p *clockworkPolicy) wanting() int { return len(p.loadQueue) }

// start returns when an Infer sent now to a GPU with inputs of so many bytes would begin.
func (p *clockworkPolicy) start(g *gpu, inputs int64) protocol.Time {
	return max(g.free(p.now), p.inferArrival(g, inputs))
}

// nextInputs returns the size of the inputs of the first request that waits for a copy, 0
// if none waits.
func (r *replica) nextInputs() int64 {
	if r.model.head == nil {
		return 0
	}
	return r.model.head.inputBytes()
}

// observe adds an execution to its GPU's served and busyTime, lowers pressure by its
// members, and passes it to the bound.
func (p *clockworkPolicy) observe(a *action, took time.Duration) {
	g := a.replica.gpu
	g.served += (float64(len(a.members)) - g.served) / 32
	g.busyTime += (float64(took) - g.busyTime) / 32
	for range a.members {
		p.pressure -= p.pressure / lossMemory
	}
	if p.bound != nil {
		m := a.replica.model
		p.bound.Observe(Execution{Model: int(m.index), Batch: a.size, Limit: m.spec.MaxBatch(), Late: a.lateFor(p.now)})
	}
}

// lateFor reports whether a member's deadline has passed.
func (a *action) lateFor(now protocol.Time) bool {
	return slices.ContainsFunc(a.members, func(r *request) bool { return now > r.deadline })
}

// replicaLeaves removes a copy from its GPU's run queue and demand.
func (p *clockworkPolicy) replicaLeaves(r *replica) {
	r.gpu.runQueue.Remove(&r.queueEntry)
	r.give(0)
}

// serve updates a model's place in the load queue, queues its copies at their GPUs, and marks
// the GPUs that take more work; the GPU that would serve it first is marked first.
func (p *clockworkPolicy) serve(m *model) {
	m.demand.expire(p.now)
	p.weigh(m)
	if m.head == nil || p.unchanged(m) {
		return
	}
	var best *replica
	var soonest protocol.Time
	for _, r := range m.holders {
		p.enqueueReplica(r, m.head)
		if !p.open(r.gpu) {
			if at := &r.gpu.nextSlotTimer; !at.In() || p.nextSlot(r.gpu) < protocol.Time(at.Key) {
				p.markGPU(r.gpu) // fill sets its timer
			}
			continue
		}
		if end := p.start(r.gpu, m.head.inputBytes()).Add(r.exec(m.head.size)); best == nil || end < soonest {
			best, soonest = r, end
		}
	}
	if best == nil {
		m.queuedAs = m.currentVersion()
		return
	}
	p.markGPU(best.gpu)
	for _, r := range m.holders {
		if p.open(r.gpu) {
			p.markGPU(r.gpu) // if the best one runs another model
		}
	}
}

// lossMemory is the number of requests over which pressure is averaged: the EWMA has weight
// 1/256.
const lossMemory = 256
