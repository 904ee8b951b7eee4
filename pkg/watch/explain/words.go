package explain

import (
	"fmt"
	"strings"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// timeline collects links; start is in the core's time.
type timeline struct {
	start protocol.Time
	links []Link
}

func (c *timeline) add(at protocol.Time, format string, args ...any) {
	c.links = append(c.links, Link{at.Sub(c.start), fmt.Sprintf(format, args...)})
}

// ms formats a duration as the core's refusals do.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// describe returns a request's explanation as far as it is known. waits is why an open
// request is waiting; nil if the request is not waiting or the reason is unknown.
func (h *history) describe(r *request, outcome string, cause Cause, waits *sched.Reason) *Explanation {
	e := &Explanation{ID: r.ID.String(), Core: h.core, Model: r.Model, Outcome: outcome, Cause: cause}
	c := &timeline{start: h.start}
	reason := waits
	if r.refusal != nil {
		reason = r.reason
		if r.refusal.EarliestMS > 0 {
			e.EarliestMS = earliestMS(r, reason)
		}
		e.WhatIf = whatIf(r)
	} else if cause != None {
		e.WhatIf = whatIfTry(r, cause)
	}
	describeArrival(c, r, reason)
	atOnce := reason != nil && reason.At == r.arrived
	if atOnce {
		describeReason(c, r, reason)
	}
	for i := range r.before {
		describeTry(c, r, &r.before[i])
	}
	if r.last.sent != 0 {
		describeTry(c, r, &r.last)
	}
	if reason != nil && !atOnce && reason.Why != sched.WhyInactive {
		describeReason(c, r, reason)
	}
	switch {
	case r.refusal != nil:
		c.add(r.ended, "refused %s: %s", r.refusal.Code, r.refusal.Message)
	case outcome == outcomeDoorLost:
		c.add(r.ended, "its front door was lost, and with it whoever waited for the answer")
	}
	e.Timeline = c.links
	return e
}

// earliestMS is the core's earliest completion as the client sees it, in ms after the
// request began.
func earliestMS(r *request, reason *sched.Reason) float64 {
	return float64(r.Elapsed+reason.Earliest.Sub(reason.Arrived)+reason.Reserve) / 1e6
}

func describeArrival(c *timeline, r *request, reason *sched.Reason) {
	text := fmt.Sprintf("arrived with %s", ms(r.Budget))
	if r.Elapsed > 0 {
		text += fmt.Sprintf(" left of %s", ms(r.Elapsed+r.Budget))
	}
	if r.Batch != 1 {
		text += fmt.Sprintf(", %d items", r.Batch)
	}
	if reason != nil && reason.Ahead > 0 {
		text += fmt.Sprintf("; %s of its model waited already", many(reason.Ahead, "request"))
	}
	c.add(r.arrived, "%s", text)
	if r.cold {
		c.add(r.arrived, "model cold: its weights had to be loaded first")
	}
}

// describeReason says where the model is, and when the core could complete the request
// there.
func describeReason(c *timeline, r *request, reason *sched.Reason) {
	o := &reason.Best
	switch {
	case reason.GPUs == 0 && reason.Why == sched.WhyNoGPU:
		c.add(reason.At, "no GPU was there that can hold the model")
		return
	case reason.Earliest == 0:
		return
	case reason.Copies > 0 && o.Worker != "":
		c.add(reason.At, "model on %s of %d; execution lane of %s", many(reason.Copies, "GPU"), reason.GPUs, lane(reason))
	case o.Worker != "":
		c.add(reason.At, "model cold, its weights on their way to %s gpu %d: ready in %s; %s", o.Worker, o.GPU, ms(max(0, o.Ready.Sub(reason.At))), others(reason))
	default:
		c.add(reason.At, "model cold, on none of %s; %s; a transfer takes %s", many(reason.GPUs, "GPU"), others(reason), ms(o.Load))
	}
	c.add(reason.At, "an Infer sent now begins after %s (messages take %s there and %s back)", ms(o.Reach), ms(o.To), ms(o.Back))
	if reason.Backlog > 0 {
		c.add(reason.At, "%s of its model wait; behind what precedes it, it is done after %s", many(reason.Waiting, "request"), ms(reason.Backlog))
	}
	text := ""
	if reason.Reserve > 0 {
		text = fmt.Sprintf(" with %s kept for the answer", ms(reason.Reserve))
	}
	c.add(reason.At, "an execution takes %s: earliest finish %.1f ms after arrival%s, the deadline is at %s", ms(o.Exec), earliestMS(r, reason), text, ms(r.Elapsed+r.Budget))
}

// others says how many models are waiting for a transfer.
func others(reason *sched.Reason) string {
	switch reason.Wanted {
	case 0:
		return "no model waits for a load"
	case 1:
		return "1 model waits for a load"
	}
	return fmt.Sprintf("%d models wait for a load", reason.Wanted)
}

// lane describes the execution lane of the best copy.
func lane(reason *sched.Reason) string {
	o := &reason.Best
	name := fmt.Sprintf("%s gpu %d", o.Worker, o.GPU)
	if o.Open == 0 {
		return name + " free"
	}
	text := fmt.Sprintf("%s busy %s with %s", name, ms(max(0, o.Free.Sub(reason.At))), o.With)
	if o.Open > 1 {
		text += fmt.Sprintf(" and %s more", many(o.Open-1, "execution"))
	}
	return text
}

// describeTry says how an attempt ended.
func describeTry(c *timeline, r *request, a *try) {
	with := "no other"
	if a.members > 1 {
		with = many(a.members-1, "other")
	}
	c.add(a.sent, "sent to %s gpu %d with %s, at batch size %d; to end %s; model on %s",
		a.worker, a.gpu, with, a.batch, side(r, a.plan.End), many(a.plan.Copies, "GPU"))
	switch {
	case a.lost:
		c.add(a.end, "%s was lost", a.worker)
	case a.code == "":
	case a.code != protocol.OK:
		c.add(a.end, "%s answered %s", a.worker, a.code)
	default:
		if late := a.begin.Sub(a.plan.Begin); a.begin.Add(a.expected) > r.deadline() && late > 0 {
			c.add(a.begin, "its turn came %s later than planned", ms(late))
		}
		c.add(a.begin, "began; took %s, expected were %s", ms(a.end.Sub(a.begin)), ms(a.expected))
		c.add(a.end, "ended %s", side(r, a.end))
	}
}

// side says how far before or after the deadline a time is.
func side(r *request, at protocol.Time) string {
	if at > r.deadline() {
		return ms(at.Sub(r.deadline())) + " after the deadline"
	}
	return ms(r.deadline().Sub(at)) + " before the deadline"
}

// whatIf says what would have saved a refused request, by the core's predictions.
func whatIf(r *request) (list []string) {
	reason := r.reason
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	after := func(at protocol.Time) string { return ms(r.Elapsed + at.Sub(reason.Arrived)) }
	slo := func(condition string) {
		if reason.Budget > 0 {
			add("an SLO of %d ms%s", wholeMS(r.Elapsed+reason.Budget), condition)
		}
	}
	idle := reason.Idle != 0 && reason.Idle <= reason.Deadline
	free := ""
	if reason.Ahead > 0 {
		free = ", if it were free for this request alone"
	}
	switch reason.Why {
	case sched.WhyTight, sched.WhyCold, sched.WhyBusy:
		slo("")
	case sched.WhyBacklog:
		slo(", to be taken")
	case sched.WhyBehind, sched.WhyLoadBehind:
		slo(", if nothing more urgent had come then")
	case sched.WhyOverdue:
		add("an SLO that is longer by more than %s", ms(-r.Budget))
	case sched.WhyNoGPU:
		add("a worker with a GPU that can hold the model")
	case sched.WhyFull:
		add("a queue of more than %d requests, or fewer of them", r.refusal.Limit)
	}
	switch reason.Why {
	case sched.WhyLoadBehind:
		if reason.IdleLoad <= reason.Deadline {
			add("a GPU with a free transfer lane: done %s after arrival", after(reason.IdleLoad))
		}
		fallthrough
	case sched.WhyCold:
		if idle {
			add("the weights on an idle GPU: done %s after arrival%s", after(reason.Idle), free)
		}
	case sched.WhyBusy, sched.WhyBacklog, sched.WhyBehind:
		if idle {
			add("one more GPU with the weights, idle: done %s after arrival%s", after(reason.Idle), free)
		}
	}
	return append(list, whatIfTry(r, causeOf(reason.Why))...)
}

// wholeMS rounds up to milliseconds.
func wholeMS(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// whatIfTry says what would have saved a request that had been sent to a worker.
func whatIfTry(r *request, cause Cause) (list []string) {
	a := &r.last
	if a.sent == 0 {
		return nil
	}
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	inPlan := a.plan.End <= r.deadline()
	switch {
	case cause == Lost && inPlan:
		add("the worker, had it lived: done %s", side(r, a.plan.End))
	case cause == Inputs:
		add("its input at the worker by %s after arrival", ms(r.Elapsed+a.latest.Sub(r.arrived)))
	case cause == Slow:
		add("an execution as long as expected: done %s", side(r, a.begin.Add(a.expected)))
	case cause == SlowBefore && inPlan:
		add("executions before it as long as expected: done %s", side(r, a.plan.End))
	}
	if a.code == protocol.OK && a.end > r.deadline() {
		add("an SLO of %d ms", wholeMS(r.Elapsed+a.end.Sub(r.arrived)))
	}
	return list
}

// head writes an explanation's first line.
func (e *Explanation) head(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s: %s", e.ID, e.Model, e.Outcome)
	if e.Cause != None {
		fmt.Fprintf(b, ", %s", e.Cause)
	}
}
