package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// A request may end or hang whatever executes it. So a request that may have been executing
// when its worker or executor ended, or when its GPU hung, is blamed for a crash
// (Submission.Crashes). It runs at most once more: as the only member of its batch, while
// nothing else runs on the GPU and no other blamed request runs on the worker, so that a
// second crash has one cause. It is refused EXECUTION_CRASHED
//
//   - at its second crash, and
//   - at its first, if it ran as the only member and its executor ended, or its worker said
//     that the execution hangs: then it is known who did it.
//
// A worker that is lost may have lost its network or its power, and an executor that was killed
// from outside (EXECUTOR_KILLED) is the first to go when memory runs out. So their requests run
// again, alone, however many ran together. Who had not begun is not blamed at all.
//
// A model whose executions crash again and again is quarantined. Crashes count for that if
// it is known that an execution of the model was the cause: an executor that ended by itself, a
// hang that the worker said, and the second crash of a request. After Config.QuarantineFor the
// model is served again; crashes of the last Config.QuarantineWindow still count, so one
// more crash in that time quarantines it again. A new epoch begins without quarantines.
//
// A request of a batch that failed without a crash is not blamed, but alone: it runs as the
// only member of its batch, so that it meets no failure but its own.

// Bounds.
const (
	maxCrashes         = 2
	maxQuarantineAfter = 100
)

// single reports whether a request must be the only member of its batch.
func (r *request) single() bool { return r.alone || r.blamed() }

// blamed reports whether a request may have ended or hung what executed it.
func (r *request) blamed() bool { return r.Crashes > 0 }

// isolated reports whether a blamed request may run on a GPU now.
func (g *gpu) isolated() bool { return len(g.infers) == 0 && g.worker.suspects == 0 }

// takesMore reports whether a GPU may get another Infer: it is not down, no blamed request
// runs on it or is next, and its worker takes more inputs.
func (c *engine) takesMore(g *gpu) bool {
	return !g.down && !g.draining && (len(g.infers) == 0 || !g.infers[0].suspect) && c.takesInputs(g.worker)
}

// crash is why an Infer ended without a proper result.
type crash struct {
	kind   IncidentKind
	worker string
	// certain: the Infer was executing, so that it is the cause if it has one member.
	certain bool
	refusal *protocol.Error // for members that cannot run again in time
	// silent is the worker that sends no result, lost the one that is lost; else nil.
	silent, lost *worker
}

// silence is the worker for whose silence a request was blamed, nil for none, and since when.
type silence struct {
	worker *worker
	since  protocol.Time
}

// endedBy reports whether a worker that is lost now died then already: nothing was heard of
// its executions since, so what was sent to it again never began, and it died once.
func (s silence) endedBy(lost *worker) bool {
	if lost == nil || s.worker != lost {
		return false
	}
	for _, g := range lost.gpus {
		if g.resultSeen >= s.since {
			return false
		}
	}
	return true
}

// crashed blames the members of an Infer that was closed, and refuses them or plans them
// again.
func (c *engine) crashed(a *action, of crash) {
	m, g := a.replica.model, a.replica.gpu
	known := len(a.members) > 0 && a.members[0].silence.endedBy(of.lost) // who was blamed runs alone
	if counts := of.certain || a.suspect; counts && !known {
		c.stats.Crashes++
		c.out.Incidents = append(c.out.Incidents, Incident{Kind: of.kind, Worker: of.worker, GPU: g.id, Model: m.spec.Name, Requests: a.count})
		defer c.countCrash(m)
	}
	for _, r := range a.members {
		r.action, r.tried = nil, WhyCrashed
		if !known {
			r.Crashes++
		}
		r.silence = silence{of.silent, c.now}
		if r.Crashes >= maxCrashes || of.certain && a.count == 1 {
			c.refuse(r, crashedFor(r))
			continue
		}
		r.tried = WhyWorkerLost
		c.replan(r, of.refusal)
	}
}

func crashedFor(r *request) *protocol.Error {
	if r.Crashes == 1 {
		return protocol.Errorf(protocol.ExecutionCrashed, "the process that executed this request ended or hung; the request is not run again")
	}
	return protocol.Errorf(protocol.ExecutionCrashed, "%d processes ended or hung while they executed this request; the request is not run again", r.Crashes)
}

// countCrash counts a crash of a model's execution, and quarantines the model if it was one
// too many.
func (c *engine) countCrash(m *model) {
	n := c.config.QuarantineAfter
	if n == 0 {
		return
	}
	since := c.now.Add(-c.config.QuarantineWindow)
	m.crashes = slices.DeleteFunc(m.crashes, func(at protocol.Time) bool { return at <= since })
	if m.crashes = append(m.crashes, c.now); len(m.crashes) < n {
		return
	}
	m.crashes = m.crashes[len(m.crashes)-n:]
	if m.quarantineLeft(c.now) > 0 { // by what was sent before
		return
	}
	m.quarantined = c.now.Add(c.config.QuarantineFor)
	c.quarantinedUntil = max(c.quarantinedUntil, m.quarantined)
	c.stats.Quarantines++
	c.out.Incidents = append(c.out.Incidents, Incident{Kind: ModelQuarantined, Model: m.spec.Name, Requests: m.queued, For: c.config.QuarantineFor})
	for m.head != nil {
		c.refuseQuarantined(m.head)
	}
}

// refuseQuarantined refuses a request that was admitted before its model was quarantined.
func (c *engine) refuseQuarantined(r *request) {
	r.tried = WhyQuarantined
	c.refuse(r, c.quarantine(r.model))
}

// banned returns why a request is refused for crashes: its own, or its model's.
func (c *engine) banned(r *request) *protocol.Error {
	switch {
	case r.Crashes >= maxCrashes:
		return crashedFor(r)
	case r.model.quarantineLeft(c.now) > 0:
		return c.quarantine(r.model)
	}
	return nil
}

// quarantine returns the refusal of the requests of a quarantined model.
func (c *engine) quarantine(m *model) *protocol.Error {
	left := m.quarantineLeft(c.now)
	refusal := protocol.Errorf(protocol.ModelQuarantined, "model %s is quarantined for %v more: %d of its executions ended or hung the process that executed them",
		m.spec.Name, (left + time.Millisecond - 1).Truncate(time.Millisecond), len(m.crashes))
	refusal.RetryMS = ms(left)
	return refusal
}

// batchFailed plans the members of an Infer again that failed as a batch. Its message stays
// with the worker: it may quote one member's input, which the others must not see.
func (c *engine) batchFailed(a *action, res *protocol.Result) {
	refusal := protocol.Errorf(protocol.BatchFailed, "the batch of %d requests that it was in failed with %s at worker %s, and no time was left to run it alone",
		a.count, res.Code, res.Worker)
	for _, r := range a.members {
		r.alone = true
	}
	c.replanAll(a, refusal, WhyFailed)
}
