package explain

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// saved says what would have saved a request that failed for a cause.
func (m *mirror) saved(r *request, cause Cause) []string {
	v := &r.arrival
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	slo := func(need time.Duration, why string) {
		need = max(need, m.reported(r))
		add("an SLO of %.0f ms%s", float64(m.slo(r, need))/1e6, why)
	}
	switch cause {
	case Tight, Overdue:
		slo(m.idle(v), " on an idle GPU")
	case Cold:
		if v.loading.on == nil {
			slo(m.coldIdle(v), "")
		} else {
			slo(m.coldBusy(v), "")
		}
	case ColdBusy:
		now := m.view(r)
		slo(max(m.coldBusy(v), m.now.Sub(r.arrived)+m.coldBusy(&now)), ", if nothing more urgent had come then")
		if need := m.coldIdle(v); v.transfer.left > 0 && m.fits(r, need) {
			add("a GPU with a free transfer lane: done %s after arrival", ms(r.Elapsed+need))
		}
	case LaneBusy:
		slo(m.held(v), "")
	case Behind:
		now := m.view(r)
		need := m.coldBusy(&now)
		if now.resident > 0 {
			need = m.held(&now)
		}
		slo(m.now.Sub(r.arrived)+need, ", if nothing more urgent had come then")
	case Slow, SlowBefore, Lost:
		list = append(list, m.savedTry(r, cause)...)
	case Inputs:
		a := r.tries[len(r.tries)-1]
		add("its input at the worker by %s after arrival", ms(r.Elapsed+a.latest.Sub(r.arrived)))
	case NoWorker:
		add("a worker with a GPU that can hold the model")
	case Full:
		add("a queue of more than %d requests, or fewer of them", m.config.MaxQueued)
	}
	if m.fits(r, m.idle(v)) {
		switch cause {
		case Cold, ColdBusy:
			add("the weights on an idle GPU: done %s after arrival", ms(r.Elapsed+m.idle(v)))
		case LaneBusy, Behind:
			add("one more GPU with the weights, idle: done %s after arrival", ms(r.Elapsed+m.idle(v)))
		}
	}
	return list
}

// reported is the earliest end after arrival at the scheduler that the refusal
// rests on, 0 for none. What it names has the time for the answer added.
func (m *mirror) reported(r *request) time.Duration {
	if r.refusal == nil || r.refusal.EarliestMS <= 0 {
		return 0
	}
	answer := r.Budget - m.target(r.Budget)
	return time.Duration(r.refusal.EarliestMS*1e6) - r.Elapsed - answer
}

// savedTry is for a request that a worker had been sent in time.
func (m *mirror) savedTry(r *request, cause Cause) (list []string) {
	if len(r.tries) == 0 {
		return nil
	}
	a := r.tries[len(r.tries)-1]
	switch {
	case cause == Lost && a.planned <= r.deadline:
		list = append(list, fmt.Sprintf("the worker, had it lived: done %s", side(r, a.planned)))
	case cause == Slow:
		list = append(list, fmt.Sprintf("an execution as long as expected: done %s", side(r, a.begin.Add(a.expected))))
	case cause == SlowBefore && a.planned <= r.deadline:
		list = append(list, fmt.Sprintf("executions before it as long as expected: done %s", side(r, a.planned)))
	}
	if a.code == protocol.OK && a.end > r.deadline {
		need := r.Elapsed + a.end.Sub(r.arrived) + time.Millisecond - 1
		list = append(list, fmt.Sprintf("an SLO of %d ms", need/time.Millisecond))
	}
	return list
}
