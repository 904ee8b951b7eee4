package client

import (
	"math"
	"slices"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
)

// What front doors and the scheduler say of requests.

func recordFlaw(r *protocol.DoorRecord) string {
	switch {
	case r.Door == "":
		return "it names no front door"
	case r.Requests == nil:
		return "it has no list of requests"
	case slices.Contains(r.LeftOut, ""):
		return "it leaves out a request without an id"
	}
	return firstFlaw(r.Requests, doorRequestFlaw)
}

// doorRequestFlaw lets a request be without a time of arrival, which one that is buffered
// has not yet, and then with any SLO.
func doorRequestFlaw(r *protocol.DoorRequest) string {
	switch {
	case r.ID == "" && r.Code == "":
		return "it has a request without an id and without an outcome"
	case !r.Arrived.IsZero() && !isDate(r.Arrived):
		return "it has a request that arrived at no time that can be"
	case !isSpan(r.LatencyMS, r.BufferedMS, r.SchedulerMS, r.QueueMS, r.InputMS, r.ExecMS, r.OutputMS, r.ReplyMS) || math.IsNaN(r.SLOMS):
		return "it has a request that took no time that can be"
	case !isCount(r.Items, r.Batch):
		return "it has a request with a number of items that can be none"
	}
	return ""
}

func reportFlaw(r *explain.Report) string {
	switch {
	case r.Epoch == 0:
		return "it names no epoch of a scheduler"
	case r.Since != nil && !isDate(*r.Since) || r.Summary != nil && r.Since == nil:
		return "it does not say since when it counts"
	case slices.Contains(r.LeftOut, ""):
		return "it leaves out a request without an id"
	}
	if r.Summary != nil {
		if flaw := summaryFlaw(r.Summary); flaw != "" {
			return flaw
		}
	}
	return firstFlaw(r.Requests, func(e *explain.LiveExplanation) string {
		if !isDate(e.Arrived) {
			return "it has a request that arrived at no time that can be"
		}
		return explanationFlaw(e.Explanation)
	})
}

func summaryFlaw(s *explain.Summary) string {
	if !isCount(s.Requests, s.Done, s.Failed, s.Open, s.Forgotten, s.Withdrawn) {
		return "it has a number of requests that can be none"
	}
	return firstFlaw(s.Causes, func(g *explain.Group) string {
		if g.Cause == "" || g.Count < 1 || !isCount(g.Count) {
			return "it has a cause without a name or a number"
		}
		return explanationFlaw(g.Example)
	})
}

func explanationFlaw(e *explain.Explanation) string {
	if e == nil || e.ID == "" || e.Outcome == "" {
		return "it explains a request without an id or an outcome"
	}
	return firstFlaw(e.Timeline, func(l *explain.Link) string {
		if l.Text == "" || !isSpan(math.Abs(protocol.Milliseconds(l.At))) {
			return "it has a timeline with an entry that can be none"
		}
		return ""
	})
}
