package explain

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/ring"
)

// keptServed and keptMissed are how many of the latest requests a Live can explain, of
// those that ended in time and of those that did not. Older requests are forgotten.
const (
	keptServed = 1 << 14
	keptMissed = 1 << 13
)

// Live observes a running core in bounded memory, so that its latest requests can be
// explained at any time. The owner of the core owns the Live.
type Live struct {
	history
	served, missed ring.Ring[*request]
	done, failed   int
	doorless       int
	withdrawn      int
	// Closed, if set, is called for each action that a worker ended.
	Closed func(*Closed)
}

// Closed is an action that ended, with planned and measured times.
type Closed struct {
	Worker      string
	GPU         int
	Kind        protocol.Kind
	Model       string
	Batch, Size int // Size: number of requests in the batch
	OK          bool
	// Expected and Took cover the execution or transfer alone; Late is how much later
	// than planned the action ended. Took and Late are 0 unless OK.
	Expected, Took, Late time.Duration
}

// Report is a Live's answer to an explain query, in JSON.
type Report struct {
	Epoch uint64 `json:"epoch"`
	// Since is the time of the oldest kept miss. The summary's causes cover the kept
	// misses; its counts cover all requests since the scheduler began.
	Since    *time.Time        `json:"since,omitempty"`
	Summary  *Summary          `json:"summary,omitempty"`
	Requests []LiveExplanation `json:"requests,omitempty"`
	// LeftOut are the ids of the question that did not fit into this answer: ask again.
	LeftOut []string `json:"left_out,omitempty"`
}

// LiveExplanation is an explanation with the time at which the request reached the
// scheduler; the timeline counts from that time.
type LiveExplanation struct {
	*Explanation
	Arrived time.Time `json:"arrived"`
}

func NewLive() *Live {
	l := &Live{served: ring.New[*request](keptServed), missed: ring.New[*request](keptMissed)}
	l.history.end, l.history.closed = l.ended, l.explanation
	return l
}

func (l *Live) ended(r *request) {
	into := &l.missed
	switch {
	case r.outcome == outcomeDoorLost:
		l.doorless++
	case r.outcome == outcomeWithdrawn:
		l.withdrawn++
	case r.cause == None:
		l.done++
		into = &l.served
	default:
		l.failed++
	}
	slot := into.Slot()
	if *slot != nil {
		l.reuse(*slot)
	}
	*slot = r
}

// explain describes a request in times relative to its arrival at the scheduler.
func (l *Live) explain(r *request, outcome string, waits *sched.Reason) *Explanation {
	l.start = r.arrived
	return l.describe(r, outcome, r.cause, waits)
}

// Explain explains an open or kept request and returns when the request reached the
// scheduler; nil for any other request. waits is the core's function that says why an
// open request is still waiting.
func (l *Live) Explain(id protocol.RequestID, waits func(protocol.RequestID) (sched.Reason, bool)) (e *Explanation, arrived protocol.Time) {
	if r := l.open[id]; r != nil {
		if reason, ok := waits(id); ok {
			return l.explain(r, outcomeOpen, &reason), r.arrived
		}
		return l.explain(r, outcomeOpen, nil), r.arrived
	}
	for _, of := range []*ring.Ring[*request]{&l.missed, &l.served} {
		of.Latest(func(kept **request) bool {
			r := *kept
			if r.ID == id {
				e, arrived = l.explain(r, r.outcome, nil), r.arrived
			}
			return e == nil
		})
		if e != nil {
			return e, arrived
		}
	}
	return nil, 0
}

// Summary returns counts since the core began, and groups the kept misses by cause, each
// with its latest miss as the example. since is the time of the oldest kept miss.
func (l *Live) Summary() (s *Summary, since protocol.Time) {
	s = &Summary{Requests: l.arrived, Done: l.done, Failed: l.failed, Open: len(l.open), Forgotten: l.doorless, Withdrawn: l.withdrawn}
	groups := map[Cause]*Group{}
	since = l.now
	l.missed.Latest(func(kept **request) bool {
		r := *kept
		since = min(since, r.ended)
		if r.cause == None { // the request's front door was lost, or its client went away
			return true
		}
		g := groups[r.cause]
		if g == nil {
			g = &Group{Cause: r.cause, Outcome: r.outcome, Example: l.explain(r, r.outcome, nil)}
			groups[r.cause] = g
		}
		g.Count++
		return true
	})
	s.Causes = inOrderOfCount(groups)
	return s, since
}

func (l *Live) explanation(a *action, r *protocol.Result) {
	if l.Closed == nil {
		return
	}
	c := Closed{
		Worker: a.worker, GPU: a.GPU, Kind: a.Kind, Model: a.Model, Batch: a.Batch, Size: a.size,
		OK: r.Code == protocol.OK, Expected: a.Expected,
	}
	switch {
	case !c.OK:
	case a.Kind == protocol.Infer:
		c.Took, c.Late = r.Exec.Device, r.Exec.End.Sub(a.plan.End)
	default:
		c.Took, c.Late = r.End.Sub(r.Begin), r.End.Sub(a.plan.End)
	}
	l.Closed(&c)
}
