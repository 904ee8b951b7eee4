package explain

import (
	"slices"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"time"
)

// history records each request of a core from arrival to end: the events and outputs
// that name the request, and the core's reasons. It decides nothing: the core says which
// results it awaits no longer, and which requests are late.
type history struct {
	// end is called for each request that has ended, after its removal from open; the
	// callee then owns the request.
	end func(*request)
	// closed is called for each action that has its result; may be nil.
	closed func(*action, *protocol.Result)

	now     protocol.Time
	start   protocol.Time // the origin of times in explanations
	begun   bool
	core    int
	arrived int
	open    map[protocol.RequestID]*request
	actions map[protocol.ActionID]*action
	spare   []*request // free list for new requests
	idle    []*action
	reasons []*sched.Reason
}

// request is an open request, or one that ended recently.
type request struct {
	protocol.Submission
	seq     int
	arrived protocol.Time
	ended   protocol.Time
	outcome string
	cause   Cause
	cold    bool    // of a request that was sent: the model's weights had to be loaded first
	on      *action // the action that is to serve the request; nil while the request is queued
	last    try     // the latest attempt; sent is 0 if the request was never sent to a worker
	before  []try
	refusal *protocol.Error
	// reason is of a refusal; allocated separately, so that served requests need no
	// memory for it.
	reason *sched.Reason
}

func (r *request) deadline() protocol.Time { return r.arrived.Add(r.Budget) }

// try is one attempt at a request: the action that was to serve it, and how that action
// ended.
type try struct {
	worker         string
	gpu            int
	batch, members int
	sent, latest   protocol.Time
	expected       time.Duration
	plan           sched.Plan
	begin, end     protocol.Time
	code           protocol.Code // "": no result
	lost           bool          // with its worker
}

// action is an action without a result.
type action struct {
	protocol.Action
	worker  string
	sent    protocol.Time
	plan    sched.Plan
	members []*request
	size    int
}

// maxBefore bounds the attempts that are kept of a request, besides the latest.
const maxBefore = 4

// Begin implements sched.Observer.
func (h *history) Begin(sched.Setup) {
	h.core++
	h.now = 0
	h.open, h.actions = map[protocol.RequestID]*request{}, map[protocol.ActionID]*action{}
}

// Step implements sched.Observer.
func (h *history) Step(now protocol.Time, e sched.Event, out *sched.Output) {
	if !h.begun {
		h.begun, h.start = true, now
	}
	h.now = max(h.now, now)
	switch e := e.(type) {
	case *sched.Submit:
		h.arrive(&e.Submission)
	case *sched.Result:
		h.result(&e.Result, out.Late)
	case *sched.Activate:
		clear(h.actions)
	case *sched.DoorLost:
		h.doorLost(e.Door)
	}
	h.decided(out)
}

func (h *history) decided(out *sched.Output) {
	for _, u := range out.Unanswered {
		h.giveUp(u)
	}
	for i := range out.Refusals {
		h.refused(&out.Refusals[i], &out.Reasons[i])
	}
	for i := range out.Actions {
		h.send(&out.Actions[i])
	}
	for i := range out.Dispatches {
		switch d := &out.Dispatches[i]; {
		case d.Kind == protocol.Answer:
			h.close(h.open[d.ID], "done in time", None)
		case d.Cold:
			if r := h.open[d.ID]; r != nil {
				r.cold = true
			}
		}
	}
}

func (h *history) arrive(s *protocol.Submission) {
	if h.open[s.ID] != nil {
		return
	}
	h.arrived++
	r := h.blank()
	if r.reason != nil {
		h.reasons = append(h.reasons, r.reason)
	}
	*r = request{Submission: *s, seq: h.arrived, arrived: h.now, before: r.before[:0]}
	h.open[s.ID] = r
}

// blank returns a request from the free list, or a new one; the caller overwrites it.
func (h *history) blank() *request {
	n := len(h.spare)
	if n == 0 {
		return new(request)
	}
	r := h.spare[n-1]
	h.spare = h.spare[:n-1]
	return r
}

// reuse puts a request on the free list.
func (h *history) reuse(r *request) { h.spare = append(h.spare, r) }

// close ends a request; nil is ignored.
func (h *history) close(r *request, outcome string, cause Cause) {
	if r == nil {
		return
	}
	delete(h.open, r.ID)
	r.on, r.ended, r.outcome, r.cause = nil, h.now, outcome, cause
	h.end(r)
}

func (h *history) refused(d *protocol.Dispatch, reason *sched.Reason) {
	if r := h.open[d.ID]; r != nil {
		r.refusal, r.reason = d.Refusal, h.keep(reason)
		if reason.Why == sched.WhyWithdrawn {
			h.close(r, outcomeWithdrawn, None)
			return
		}
		h.close(r, "refused "+string(d.Refusal.Code), causeOf(reason.Why))
	}
}

// keep copies a reason, reusing the memory of a forgotten request's reason if there is
// one.
func (h *history) keep(reason *sched.Reason) *sched.Reason {
	n := len(h.reasons)
	if n == 0 {
		kept := *reason
		return &kept
	}
	kept := h.reasons[n-1]
	h.reasons = h.reasons[:n-1]
	*kept = *reason
	return kept
}

func (h *history) send(to *sched.Addressed) {
	a := &action{}
	if n := len(h.idle); n > 0 {
		a, h.idle = h.idle[n-1], h.idle[:n-1]
	}
	*a = action{Action: to.Action, worker: to.Worker, sent: h.now, plan: to.Plan, members: a.members[:0], size: len(to.Action.Requests)}
	a.Requests = nil // the slice belongs to the core
	for i := range to.Action.Requests {
		r := h.open[to.Action.Requests[i].ID]
		if r == nil {
			continue
		}
		if r.last.sent != 0 {
			if len(r.before) == maxBefore { // the first one stays
				r.before = slices.Delete(r.before, 1, 2)
			}
			r.before = append(r.before, r.last)
		}
		r.on = a
		r.last = try{
			worker: to.Worker, gpu: a.GPU, batch: a.Batch, members: a.size, sent: h.now, latest: a.Latest,
			expected: a.Expected, plan: to.Plan,
		}
		a.members = append(a.members, r)
	}
	h.actions[a.ID] = a
}

// result closes an action, and ends its requests if the result is OK. Those that are late are
// named with the cause.
func (h *history) result(res *protocol.Result, late []sched.Late) {
	a := h.actions[res.Action]
	if a == nil || res.Issuer != a.Issuer || a.worker != res.Worker {
		return
	}
	begin, end := res.Begin, res.End
	if end == 0 {
		begin, end = h.now, h.now
	}
	for _, r := range a.members {
		if r.on != a {
			continue // it ended before
		}
		r.on, r.last.begin, r.last.end, r.last.code = nil, begin, end, res.Code
		if res.Code != protocol.OK {
			continue
		}
		at := slices.IndexFunc(late, func(l sched.Late) bool { return l.ID == r.ID })
		if at < 0 {
			h.close(r, "done in time", None)
		} else {
			h.close(r, "done late", causeOf(late[at].Why))
		}
	}
	if h.closed != nil {
		h.closed(a, res)
	}
	h.drop(a)
}

// drop forgets an action.
func (h *history) drop(a *action) {
	delete(h.actions, a.ID)
	for i, r := range a.members {
		if r.on == a {
			r.on = nil
		}
		a.members[i] = nil
	}
	h.idle = append(h.idle, a)
}

// giveUp ends an action whose result the core awaits no longer.
func (h *history) giveUp(u sched.Unanswered) {
	a := h.actions[u.Action]
	if a == nil {
		return
	}
	for _, r := range a.members {
		if r.on == a && u.Lost {
			r.last.lost, r.last.end = true, h.now
		}
	}
	h.drop(a)
}

// inOrder returns the open requests whose ids satisfy `of`, in order of arrival.
func (h *history) inOrder(of func(protocol.RequestID) bool) (list []*request) {
	for id, r := range h.open {
		if of(id) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *request) int { return a.seq - b.seq })
	return list
}

// doorLost ends the requests of a lost front door.
func (h *history) doorLost(door uint64) {
	for _, r := range h.inOrder(func(id protocol.RequestID) bool { return id.Door == door }) {
		h.close(r, outcomeDoorLost, None)
	}
}

// Outcomes that are not an answer to a client.
const (
	outcomeDoorLost  = "front door lost"
	outcomeWithdrawn = "withdrawn"
	outcomeOpen      = "open"
)
