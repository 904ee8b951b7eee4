package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Cause is why a request failed, worded so that similar failures share a Cause.
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
	Stalled    Cause = "every GPU that can run it is stalled"
	Crashed    Cause = "what executed it ended or hung"
	Banned     Cause = "model quarantined for crashes"
	Retired    Cause = "model left the set of models"
	Overdue    Cause = "deadline passed before it reached the scheduler"
	Full       Cause = "too many requests wait"
	Other      Cause = "other"
	None       Cause = ""
)

// causeOf returns the Cause of a core's reason.
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
	case sched.WhyLateStart, sched.WhySlowBefore:
		return SlowBefore
	case sched.WhySlow:
		return Slow
	case sched.WhyInput:
		return Inputs
	case sched.WhyWorkerLost:
		return Lost
	case sched.WhyNoGPU:
		return NoWorker
	case sched.WhyStalled:
		return Stalled
	case sched.WhyCrashed:
		return Crashed
	case sched.WhyQuarantined:
		return Banned
	case sched.WhyRetired:
		return Retired
	case sched.WhyOverdue:
		return Overdue
	case sched.WhyFull:
		return Full
	}
	return Other
}

// Explanation is the explanation of one request.
type Explanation struct {
	ID    string `json:"id"`
	Core  int    `json:"core"`
	Model string `json:"model"`
	// Outcome is "done in time", "done late", "refused CODE", "withdrawn", "front door
	// lost", or "open when the recording ended".
	Outcome string `json:"outcome"`
	Cause   Cause  `json:"cause,omitempty"`
	// EarliestMS is the earliest possible completion, in milliseconds after the request
	// began; set only if the core refused the request because that is too late.
	EarliestMS float64 `json:"earliest_ms,omitempty"`
	// Timeline lists what happened, in order; WhatIf lists what would have saved the
	// request.
	Timeline []Link   `json:"chain"`
	WhatIf   []string `json:"saved_by,omitempty"`
}

// Link is one entry of a timeline; At counts from the recording's first event.
type Link struct {
	At   time.Duration `json:"at_ns"`
	Text string        `json:"text"`
}

// Margin is the width of the time column in String's lines, which the first line does
// not have.
const Margin = 16

// String returns the explanation for people: several lines, the last without a line end.
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

// Summary groups the failed requests by cause.
type Summary struct {
	Requests int `json:"requests"`
	Done     int `json:"done_in_time"`
	Failed   int `json:"failed"`
	Open     int `json:"open"`
	// Forgotten counts requests whose front door was lost, and with it the client's
	// reply.
	Forgotten int `json:"forgotten,omitempty"`
	// Withdrawn counts requests whose clients went away before they were executed.
	Withdrawn int     `json:"withdrawn,omitempty"`
	Causes    []Group `json:"causes"`
}

// Group is the failures of one cause, with the first failure as the example.
type Group struct {
	Cause   Cause        `json:"cause"`
	Count   int          `json:"count"`
	Outcome string       `json:"outcome"` // of the example
	Example *Explanation `json:"example"`
}

// Shorten leaves out the timelines of the rarest causes' examples, so that the examples
// have at most room bytes.
func (s *Summary) Shorten(room int, size func(*Explanation) int) {
	for i := range s.Causes {
		g := &s.Causes[i]
		if n := size(g.Example); n <= room {
			room -= n
			continue
		}
		brief := *g.Example
		brief.Timeline, brief.WhatIf = []Link{}, nil
		g.Example = &brief
		room -= size(&brief)
	}
}

// Explainer observes cores, keeps the explanations of the wanted requests, and sums up
// all.
type Explainer struct {
	history
	wanted  map[protocol.RequestID]bool
	found   []*Explanation
	summary Summary
	groups  map[Cause]*Group
}

// New returns an Explainer that keeps the explanations of these requests.
func New(ids []protocol.RequestID) *Explainer {
	x := &Explainer{wanted: map[protocol.RequestID]bool{}, groups: map[Cause]*Group{}}
	x.history.end = x.ended
	for _, id := range ids {
		x.wanted[id] = true
	}
	return x
}

// Begin implements sched.Observer.
func (x *Explainer) Begin(setup sched.Setup) {
	x.endOpen()
	x.history.Begin(setup)
}

// Wanted returns the explanations of the wanted requests in the order of their end,
// including those that are open when the recording ends.
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

// endOpen ends a core; its open requests are recorded as open.
func (x *Explainer) endOpen() {
	x.summary.Open += len(x.open)
	for _, r := range x.inOrder(func(id protocol.RequestID) bool { return x.wanted[id] }) {
		x.found = append(x.found, x.describe(r, "open when the recording ended", None, nil))
	}
	x.open = nil
}

// ended counts a request that has ended, and keeps its explanation if it is a wanted
// request or the first of its group.
func (x *Explainer) ended(r *request) {
	g := x.groups[r.cause]
	switch {
	case r.outcome == outcomeDoorLost:
		x.summary.Forgotten++
	case r.outcome == outcomeWithdrawn:
		x.summary.Withdrawn++
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
