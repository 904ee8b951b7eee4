package trace

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// script is what a scheduler's core would do: it shows those who observe what it is
// given, and an output.
type script struct {
	out sched.Output
	hub *watch.Hub
	to  sched.Observer
}

func observed(h *watch.Hub, s *script) *script {
	s.hub, s.to = h, h.Observer()
	return s
}

func (s *script) Step(now protocol.Time, e sched.Event) {
	s.hub.Step(0)
	if s.to != nil {
		s.to.Step(now, e, &s.out)
	}
}

const ms1 = time.Millisecond

func load() protocol.Action {
	return protocol.Action{ID: 6, Kind: protocol.LoadWeights, Model: "m", Expected: 6 * ms1}
}

// infer is an action for a request, and for another that nobody records.
func infer(id protocol.ActionID, request protocol.RequestID) protocol.Action {
	return protocol.Action{ID: id, Kind: protocol.Infer, Model: "m", Batch: 2, Expected: 2 * ms1,
		Requests: []protocol.RequestRef{{ID: request, Batch: 1}, {ID: protocol.RequestID{Door: 9}, Batch: 1}}}
}

// act has the core of a script send an action that is planned to end 4 ms later, and be
// told its result: that it worked from begin to end, or, if end is 0, that it came too
// late.
func (s *script) act(core *script, at protocol.Time, a protocol.Action, begin, end protocol.Time) {
	a.Latest = at.Add(12 * ms1)
	s.out = sched.Output{Actions: []sched.Addressed{{
		Worker: "w", Action: a,
		Plan: sched.Plan{Begin: at.Add(ms1), End: at.Add(4 * ms1), Queued: 3, Copies: 1},
	}}}
	core.Step(at, &sched.Tick{})
	s.out = sched.Output{}
	r := protocol.Result{Action: a.ID, Worker: "w", Kind: a.Kind, Code: protocol.OK, Received: begin, Begin: begin, End: end, Sent: end}
	r.Exec = protocol.Phase{Begin: begin, End: end, Device: end.Sub(begin)}
	if a.Kind == protocol.Infer {
		r.Input, r.Output = protocol.Phase{Begin: begin, End: begin}, protocol.Phase{Begin: end, End: end.Add(ms1)}
		end = end.Add(ms1)
	}
	if r.End == 0 {
		r.Code, r.Sent, end = protocol.TooLate, begin, begin
		r.Input, r.Exec, r.Output = protocol.Phase{}, protocol.Phase{}, protocol.Phase{}
	}
	core.Step(end, &sched.Result{Result: r})
}

func (s *script) refuse(core *script, at protocol.Time, id protocol.RequestID) {
	s.out = sched.Output{Refusals: []protocol.Dispatch{{ID: id, Kind: protocol.Refuse, Refusal: protocol.Errorf(protocol.Overloaded, "full")}}}
	core.Step(at, &sched.Tick{})
}
