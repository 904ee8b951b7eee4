package explain

import (
	"slices"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// follower follows each request of a core from its arrival to its end.
type follower struct {
	*mirror
	// end hears of a request that ended, when it is no longer among the open ones.
	end     func(r *request, outcome string, cause Cause)
	closed  func(*action) // hears of each that has its result; may be nil
	keep    int           // of a lane's past, at least
	arrived int
	start   protocol.Time // what times of explanations count from
	core    int
	begun   bool
}

func (f *follower) begin(policy string, config sched.Config) {
	f.core++
	f.mirror = newMirror(policy, config, f.keep)
}

// Step implements replay.Observer.
func (f *follower) Step(now protocol.Time, e sched.Event, out *sched.Output) {
	if !f.begun {
		f.begun, f.start = true, now
	}
	f.now = max(f.now, now)
	switch e := e.(type) {
	case *sched.Submit:
		f.arrive(&e.Submission)
	case *sched.Result:
		f.result(&e.Result)
	case *sched.DoorLost:
		f.doorIsLost(e.Door)
	default:
		f.event(e)
	}
	for i := range out.Refusals {
		f.refused(&out.Refusals[i])
	}
	for i := range out.Dispatches {
		if d := &out.Dispatches[i]; d.Kind == protocol.Answer {
			f.close(f.requests[d.ID], "done in time", None)
		}
	}
	for i := range out.Actions {
		f.send(&out.Actions[i])
	}
}

// inOrder returns the open requests of some ids as they came.
func (f *follower) inOrder(of func(protocol.RequestID) bool) (list []*request) {
	for id, r := range f.requests {
		if of(id) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *request) int { return a.seq - b.seq })
	return list
}

// doorLost is an outcome.
const doorLost = "front door lost"

// doorIsLost ends what nobody waits for any more.
func (f *follower) doorIsLost(door uint64) {
	for _, r := range f.inOrder(func(id protocol.RequestID) bool { return id.Door == door }) {
		f.close(r, doorLost, None)
	}
}

func (f *follower) arrive(s *protocol.Submission) {
	if f.requests[s.ID] != nil {
		return
	}
	f.arrived++
	r := f.add(s)
	r.arrival = f.view(r)
	r.model.waiting++
	r.model.asked++
}

// close ends a request, nil being none.
func (f *follower) close(r *request, outcome string, cause Cause) {
	if r != nil {
		f.remove(r)
		f.end(r, outcome, cause)
	}
}

func (f *follower) refused(d *protocol.Dispatch) {
	if r := f.requests[d.ID]; r != nil {
		r.refusal = d.Refusal
		f.close(r, "refused "+string(d.Refusal.Code), f.whyRefused(r))
	}
}

// result closes an action, and the requests of one that went well.
func (f *follower) result(res *protocol.Result) {
	a := f.mirror.close(res)
	if a == nil {
		return
	}
	for _, r := range a.members {
		if r = f.requests[r.ID]; r == nil {
			continue
		}
		switch {
		case res.Code != protocol.OK:
			r.wait()
		case res.End <= r.deadline:
			f.close(r, "done in time", None)
		default:
			f.close(r, "done late", f.whyLate(r, a))
		}
	}
	if f.closed != nil {
		f.closed(a)
	}
	a.members = nil // who looks back at it needs their number
}
