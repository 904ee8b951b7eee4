package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Cause is why a request failed, in words that group alike ones.
type Cause string

// The causes.
const (
	Tight      Cause = "SLO too tight even for an idle GPU"
	Cold       Cause = "model cold"
	ColdBusy   Cause = "model cold, transfer lane busy"
	LaneBusy   Cause = "execution lane busy at arrival"
	Backlog    Cause = "too many requests of its model wait"
	Behind     Cause = "behind more urgent requests"
	Slow       Cause = "slow execution"
	SlowBefore Cause = "slow execution before it"
	Inputs     Cause = "its input came too late"
	Lost       Cause = "worker lost"
	NoWorker   Cause = "no GPU holds or can hold the model"
	Overdue    Cause = "deadline passed before it reached the scheduler"
	Full       Cause = "too many requests wait"
	Other      Cause = "other"
	None       Cause = ""
)

// causeOf says a core's reason in such words.
func causeOf(why sched.Why) Cause {
	switch why {
	case sched.WhyTight:
		return Tight
	case sched.WhyCold:
		return Cold
	case sched.WhyBusy:
		return LaneBusy
	case sched.WhyBacklog:
		return Backlog
	case sched.WhyBehind:
		return Behind
	case sched.WhyLoadBehind:
		return ColdBusy
	case sched.WhyLateStart:
		return SlowBefore
	case sched.WhyInput:
		return Inputs
	case sched.WhyWorkerLost:
		return Lost
	case sched.WhyNoGPU:
		return NoWorker
	case sched.WhyOverdue:
		return Overdue
	case sched.WhyFull:
		return Full
	}
	return Other
}

// Explanation is one request's.
type Explanation struct {
	ID    string `json:"id"`
	Core  int    `json:"core"`
	Model string `json:"model"`
	// Outcome is "done in time", "done late", "refused CODE", "front door lost",
	// or "open when the recording ended".
	Outcome string `json:"outcome"`
	Cause   Cause  `json:"cause,omitempty"`
	// EarliestMS is when it could have been done at the earliest, in milliseconds
	// after it began, where the core refused it for that.
	EarliestMS float64 `json:"earliest_ms,omitempty"`
	// Chain is what happened, in order; Saved what would have saved it.
	Timeline []Link   `json:"chain"`
	WhatIf   []string `json:"saved_by,omitempty"`
}

// Link is one thing of a chain, At so long after the recording's first event.
type Link struct {
	At   time.Duration `json:"at_ns"`
	Text string        `json:"text"`
}

// Margin is the breadth of the column of times in String's lines but the first.
const Margin = 16

// String is for people: several lines, the last without a line end.
func (e *Explanation) String() string {
	var b strings.Builder
	e.head(&b)
	last := ""
	for _, l := range e.Timeline {
		at := fmt.Sprintf("%.4f s", l.At.Seconds())
		if at == last {
			at = ""
		} else {
			last = at
		}
		fmt.Fprintf(&b, "\n  %12s  %s", at, l.Text)
	}
	for i, s := range e.WhatIf {
		word := "or"
		if i == 0 {
			word = "saved by"
		}
		fmt.Fprintf(&b, "\n  %12s  %s", word, s)
	}
	return b.String()
}

// Summary groups what failed.
type Summary struct {
	Requests int `json:"requests"`
	Done     int `json:"done_in_time"`
	Failed   int `json:"failed"`
	Open     int `json:"open"`
	// Forgotten lost their front door, and so whoever waited for an answer.
	Forgotten int     `json:"forgotten,omitempty"`
	Causes    []Group `json:"causes"`
}

// Group is what failed for one cause, with the first one as the example.
type Group struct {
	Cause   Cause        `json:"cause"`
	Count   int          `json:"count"`
	Outcome string       `json:"outcome"` // of the example
	Example *Explanation `json:"example"`
}

// Explainer observes cores and keeps what it is asked for of them all.
type Explainer struct {
	history
	wanted  map[protocol.RequestID]bool
	found   []*Explanation
	summary Summary
	groups  map[Cause]*Group
}

// New makes an Explainer that keeps explanations of these requests.
func New(ids []protocol.RequestID) *Explainer {
	x := &Explainer{wanted: map[protocol.RequestID]bool{}, groups: map[Cause]*Group{}}
	x.history.end = x.ended
	for _, id := range ids {
		x.wanted[id] = true
	}
	return x
}

// Begin implements sched.Observer.
func (x *Explainer) Begin(policy string, config sched.Config) {
	x.endOpen()
	x.history.Begin(policy, config)
}

// Wanted returns the explanations of the requests asked for, those that are
// open at the end included, in the order of their end.
func (x *Explainer) Wanted() []*Explanation {
	x.endOpen()
	return x.found
}

// Summary returns the groups, the largest first.
func (x *Explainer) Summary() *Summary {
	x.endOpen()
	s := x.summary
	s.Requests = x.arrived
	s.Causes = inOrderOfCount(x.groups)
	return &s
}

func inOrderOfCount(groups map[Cause]*Group) (list []Group) {
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Group) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(string(a.Cause), string(b.Cause))
	})
	return list
}

// endOpen ends a core; what it had open stays so.
func (x *Explainer) endOpen() {
	x.summary.Open += len(x.open)
	for _, r := range x.inOrder(func(id protocol.RequestID) bool { return x.wanted[id] }) {
		x.found = append(x.found, x.describe(r, "open when the recording ended", None, nil))
	}
	x.open = nil
}

// ended takes a request that ended, and keeps its explanation where somebody will
// read it.
func (x *Explainer) ended(r *request) {
	g := x.groups[r.cause]
	switch {
	case r.outcome == outcomeDoorLost:
		x.summary.Forgotten++
	case r.cause == None:
		x.summary.Done++
	default:
		x.summary.Failed++
		if g == nil {
			g = &Group{Cause: r.cause, Outcome: r.outcome, Example: x.describe(r, r.outcome, r.cause, nil)}
			x.groups[r.cause] = g
		}
		g.Count++
	}
	if x.wanted[r.ID] {
		x.found = append(x.found, x.describe(r, r.outcome, r.cause, nil))
	}
	x.reuse(r)
}
