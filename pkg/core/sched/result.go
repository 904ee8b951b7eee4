package sched

import "clockwork/pkg/protocol"

// result handles a worker's result. A result of no outstanding action (a duplicate, or of
// an action that counts as lost) is only counted, one for another issuer is ignored. In
// both cases its epoch still matters.
func (c *engine) result(res *protocol.Result) {
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
		if res.Code.LosesExecutor() {
			c.strayLoss(res)
		}
		return
	}
	c.observeDelay(a, res)
	a.missed = res.Code == protocol.InputMissing
	c.close(a, res.End)
	c.noteResult(a, res)
	defer c.reuse(a)
	switch a.kind {
	case protocol.Infer:
		c.inferred(a, res)
	case protocol.LoadWeights:
		c.loaded(a, res)
	case protocol.EvictWeights:
		c.evicted(a, res)
	}
	if res.Code.LosesWorker() {
		w := a.replica.gpu.worker
		if w != nil {
			c.lose(WorkerLost{ID: w.id, Incarnation: w.incarnation})
		}
	}
}

// fence stops this core, because a worker obeys a newer scheduler. Waiting requests are
// refused SCHEDULER_LOST; executing ones end by their results.
func (c *engine) fence() {
	if c.fenced {
		return
	}
	c.fenced = true
	for _, r := range c.requests(func(r *request) bool { return r.action == nil }) {
		c.refuse(r, protocol.Refusal(protocol.SchedulerLost))
	}
}

// close ends the wait for an action's result. end is when the worker ended the action, by
// the core's clock; 0 if that is not known, which counts as now.
func (c *engine) close(a *action, end protocol.Time) {
	delete(c.actions, a.id)
	c.timers.Remove(&a.timer)
	r := a.replica
	if a.kind != protocol.Infer {
		r.transfer = nil
		return
	}
	r.busy--
	c.inputsEnded(a)
	if end == 0 || end > c.now {
		end = c.now
	}
	g := r.gpu
	if a.suspect {
		g.worker.suspects--
		for _, other := range g.worker.gpus {
			c.markGPU(other) // it may have waited for this
		}
	}
	first := g.infers[0] == a
	g.infers = without(g.infers, a)
	g.lane.remove(a, first, end, g.first())
	if g.idle() {
		g.waitersRetried = false // what was not worth its time may be now
	}
	c.markGPU(g)
}

// reuse keeps the memory of a closed action for a later one. No reference to the action may
// be left.
func (c *engine) reuse(a *action) { c.closed = append(c.closed, a) }

// idle evicts a replica once its last Infer has ended, if it is draining or its weights are
// lost.
func (c *engine) idle(r *replica) {
	lost := r.phase == unknownPhase && r.transfer == nil && !r.retry.In()
	if (r.phase == draining || lost) && r.busy == 0 {
		c.evict(r)
	}
}

// inferred handles the result of an Infer: its members end, or are planned again.
func (c *engine) inferred(a *action, res *protocol.Result) {
	if res.Code == protocol.OK {
		if d := measured(res); d > 0 {
			if c.learner != nil {
				c.learner.observe(a, d)
			}
			m := a.replica.model
			c.learn(a, d)
			if m.head != nil {
				c.markModel(m) // a GPU may be fast enough for waiting requests now
			}
		}
		for _, r := range a.members {
			c.noteLate(r, a, res)
			c.executed(r, res.End)
			c.forget(r)
			c.stats.Succeeded++
		}
		c.idle(a.replica)
		return
	}
	switch {
	case res.Code == protocol.WeightsMissing:
		if r := a.replica; r.busy > 0 {
			c.doubt(r) // what else was sent to it must end first
		} else {
			c.remove(r)
		}
	case res.Code.LosesExecutor():
		c.weightsLost(a.replica.gpu)
	}
	c.idle(a.replica)
	switch {
	case res.Code.LosesExecutor() && res.Begin != 0:
		a.replica.gpu.crashedAt = c.now
		c.crashed(a, crash{kind: ExecutionCrashed, worker: res.Worker, certain: res.Code == protocol.ExecutorLost, refusal: failure(res)})
	case a.count > 1 && failsAlone(res.Code):
		c.batchFailed(a, res)
	default:
		if res.Code == protocol.InputMissing && a.count > 1 {
			missedInput(a)
		}
		c.replanAll(a, failure(res), whyFailed(res.Code))
	}
}

// noteLate outputs that a request was done after its budget, if it was.
func (c *engine) noteLate(r *request, a *action, res *protocol.Result) {
	begin, end, until := res.Begin, res.End, r.arrived.Add(r.Budget)
	if end == 0 {
		begin, end = c.now, c.now
	}
	if end <= until {
		return
	}
	why := WhySlowBefore
	if begin.Add(a.takes) <= until {
		why = WhySlow
	}
	c.out.Late = append(c.out.Late, Late{r.ID, why})
}

// giveUp ends the wait for an action that has no result. lost: its worker is lost.
func (c *engine) giveUp(a *action, lost bool) {
	c.out.Unanswered = append(c.out.Unanswered, Unanswered{a.id, lost})
	c.close(a, c.now)
}

// failsAlone reports whether a code may come of one member of a batch.
func failsAlone(code protocol.Code) bool {
	switch code {
	case protocol.BackendError, protocol.InvalidInput, protocol.NoMemory, protocol.InvalidBatch:
		return true
	}
	return false
}

// missedInput makes members of a batch that missed an input run alone if that has happened
// to them before: another member's input may not come at all.
func missedInput(a *action) {
	for _, r := range a.members {
		if r.misses++; r.misses > 1 {
			r.alone = true
		}
	}
}

// replanAll plans the members of a failed action again.
func (c *engine) replanAll(a *action, refusal *protocol.Error, why Why) {
	for _, r := range a.members {
		r.tried = why
		r.action = nil
		c.replan(r, refusal)
	}
}

// whyFailed returns the reason that a worker's code gives for the members of an action.
func whyFailed(code protocol.Code) Why {
	switch code {
	case protocol.InputMissing:
		return WhyInput
	case protocol.TooLate:
		return WhyLateStart
	case protocol.StaleIncarnation, protocol.ShuttingDown, protocol.Cancelled, protocol.ExecutorLost, protocol.ExecutorKilled:
		return WhyWorkerLost
	case protocol.StaleEpoch:
		return WhyInactive
	}
	return WhyFailed
}

// failure returns the error that a client gets for a worker's failed result.
func failure(res *protocol.Result) *protocol.Error {
	code := protocol.Internal
	switch res.Code {
	case protocol.InvalidInput, protocol.BackendError, protocol.NoMemory:
		code = res.Code
	case protocol.TooLate, protocol.InputMissing, protocol.WeightsMissing, protocol.WeightsChanged:
		code = protocol.DeadlineExceeded
	case protocol.StaleIncarnation, protocol.ShuttingDown, protocol.Cancelled, protocol.ExecutorLost, protocol.ExecutorKilled:
		code = protocol.WorkerLost
	case protocol.StaleEpoch:
		code = protocol.SchedulerLost
	}
	return protocol.Errorf(code, "worker %s answered %s with %s: %s", res.Worker, res.Kind, res.Code, res.Message)
}

// replan puts a request whose action failed back into its queue, or refuses it if nobody waits
// for it, it has no attempt left, cannot be in time, would fail again, or its model was
// quarantined meanwhile.
func (c *engine) replan(r *request, refusal *protocol.Error) {
	// Neither the loss of a worker or of weights nor an action that came too late, or
	// before its input, is the request's failure; the deadline bounds those. Nor is the
	// failure of a batch: the request runs alone next.
	if refusal.Code != protocol.WorkerLost && refusal.Code != protocol.DeadlineExceeded && refusal.Code != protocol.BatchFailed {
		r.attempts++
	}
	r.refusal = refusal
	best, ok := c.earliestIfIdle(r.model, r.size)
	switch {
	case c.fenced:
		c.refuse(r, protocol.Refusal(protocol.SchedulerLost))
	case r.withdrawn:
		c.refuse(r, withdrawn())
	case r.orphan, r.attempts >= c.config.Attempts, refusal.Code == protocol.InvalidInput:
		c.refuse(r, refusal)
	case r.model.retired:
		c.refuseRetired(r)
	case r.model.quarantineLeft(c.now) > 0:
		c.refuseQuarantined(r)
	case r.deadline <= c.now, ok && best.end() > r.deadline:
		if refusal.Code == protocol.Internal {
			refusal = c.late(r)
		}
		c.refuse(r, refusal)
	default:
		c.stats.Replanned++
		c.enqueue(r)
	}
}

// loaded handles the result of a LoadWeights. A failure counts as an attempt of every
// request that waits for the model.
func (c *engine) loaded(a *action, res *protocol.Result) {
	r := a.replica
	g, m := r.gpu, r.model
	if r.phase != loading {
		return
	}
	if res.Code.LosesExecutor() {
		c.weightsLost(g)
		c.loadLost(a, res)
		return
	}
	if res.Code == protocol.OK || res.Code == protocol.AlreadyLoaded {
		if d := measured(res); d > 0 && res.Code == protocol.OK {
			m.costs[g.kind].load.Add(d)
			m.costs[g.kind].updatedAt = c.now
		}
		delete(g.failures, m)
		if r.doubtful || m.retired {
			c.markUnknown(r)
			c.markModel(m)
			return
		}
		g.loading = nil
		r.used = c.ticket()
		c.hold(r)
		c.markGPU(g)
		return
	}
	g.failures[m]++
	if res.Code == protocol.WeightsInUse {
		c.markUnknown(r)
	} else {
		c.remove(r)
	}
	c.loadFailed(m, failure(res))
}

// loadLost ends a load whose executor ended. The end counts against the model, and is
// reported, unless the executor was killed from outside or an execution was under way, which
// is the likelier cause.
func (c *engine) loadLost(a *action, res *protocol.Result) {
	g, m := a.replica.gpu, a.replica.model
	guilty := res.Code == protocol.ExecutorLost && res.Begin != 0 && len(g.infers) == 0 && (g.crashedAt == 0 || c.now.Sub(g.crashedAt) >= c.config.Lag)
	c.remove(a.replica) // before requests are refused: it is being loaded no more
	if !guilty {
		return
	}
	c.stats.Crashes++
	c.out.Incidents = append(c.out.Incidents, Incident{Kind: ExecutionCrashed, Worker: g.worker.id, GPU: g.id, Model: m.spec.Name})
	c.countCrash(m)
	g.failures[m]++
	c.loadFailed(m, failure(res))
}

// loadFailed counts one attempt for every request that waits for the model.
func (c *engine) loadFailed(m *model, refusal *protocol.Error) {
	for r := m.head; r != nil; {
		next := r.next
		r.attempts++
		r.refusal = refusal
		if r.attempts >= c.config.Attempts {
			c.refuse(r, refusal)
		}
		r = next
	}
	c.markModel(m)
}

// markUnknown evicts a replica whose load has an unknown outcome. It keeps its pages until
// the eviction is confirmed.
func (c *engine) markUnknown(r *replica) {
	r.gpu.loading = nil
	r.phase = unknownPhase
	c.markGPU(r.gpu)
	c.evict(r)
}

// evicted handles the result of an EvictWeights. A failed eviction is repeated after
// EvictRetry.
func (c *engine) evicted(a *action, res *protocol.Result) {
	r := a.replica
	if r.phase != evicting {
		return
	}
	switch res.Code {
	case protocol.OK, protocol.WeightsMissing, protocol.UnknownModel:
		c.remove(r)
	default:
		c.timers.Set(&r.retry, int64(c.now.Add(c.config.EvictRetry)), c.ticket())
	}
}

// overdue handles the timer of an action without a result: the action counts as failed. An
// Infer gets Config.Lag more, because it may still execute; meanwhile its GPU is stalled.
func (c *engine) overdue(a *action) {
	if a.kind == protocol.Infer && !a.overdue {
		a.overdue = true
		c.timers.Set(&a.timer, int64(a.end().Add(c.config.Lag)), c.ticket())
		// If a later result of the GPU has arrived, only this result was lost.
		if g := a.replica.gpu; c.learner != nil && !g.stalled && g.resultSeen < a.end() {
			c.stall(g)
		}
		return
	}
	c.stats.Lost++
	r := a.replica
	hung := crash{kind: ExecutionHung, worker: r.gpu.worker.id, certain: r.gpu.down && a.hung, silent: r.gpu.worker}
	silent := r.gpu.resultSeen < a.end()
	a.missed = true // they may wait for a worker that takes nothing
	c.giveUp(a, false)
	defer c.reuse(a)
	c.unstallIdle(r.gpu)
	refusal := protocol.Errorf(protocol.WorkerLost, "worker %s sent no result of %s in time", r.gpu.worker.id, a.kind)
	switch {
	case a.kind == protocol.Infer && silent: // it may have hung the GPU
		c.idle(r)
		hung.refusal = refusal
		c.crashed(a, hung)
	case a.kind == protocol.Infer:
		c.idle(r)
		c.replanAll(a, refusal, WhyWorkerLost)
	case r.phase == loading:
		r.gpu.failures[r.model]++
		c.markUnknown(r)
		c.loadFailed(r.model, refusal)
	case r.phase == evicting:
		c.evict(r)
	}
}
