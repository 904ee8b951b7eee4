package chaos

import (
	"time"

	"clockwork/pkg/protocol"
)

// Effect is the effect of a fault as seen by clients.
type Effect struct {
	// Counts are those of the whole run, Earlier those of the time before the fault.
	Counts
	Earlier Counts `json:"before_fault"`

	// Before is the share of requests that were OK before the fault. Lost counts the
	// requests since the fault that were not.
	Before float64 `json:"share_before"`
	Lost   int     `json:"lost"`
	// Heal is the time from the fault to the recovery: the start of the first second
	// in both halves of which at least 90 % of the share Before is OK. Healed: there
	// was a recovery.
	Heal   time.Duration `json:"heal_ns"`
	Healed bool          `json:"healed"`
	Curve  []Point       `json:"curve"`
}

// Counts are requests by how they ended.
type Counts struct {
	Sent       int                   `json:"sent"`
	OK         int                   `json:"ok"`
	Errors     map[protocol.Code]int `json:"-"`
	Unsent     int                   `json:"unsent"`     // the broker could not be reached
	Unanswered int                   `json:"unanswered"` // sent, and no reply ever came
	Late       int                   `json:"late"`       // served more than 50 ms after the deadline
	// Sent is the sum of the counts above. LateErrors counts errors received more
	// than 50 ms after the deadline, Duplicates requests with more than one reply.
	LateErrors int `json:"late_errors"`
	Duplicates int `json:"duplicates"`
}

// Point is one interval of 100 ms of the curve, by the requests' due times
// relative to the fault.
type Point struct {
	At   time.Duration `json:"at_ns"`
	Sent int           `json:"sent"`
	OK   int           `json:"ok"`
}

const (
	// step is the resolution of the curve.
	step = 100 * time.Millisecond
	// promise bounds how long after its deadline a request is answered.
	promise = 50 * time.Millisecond
	// enough is the part of the share before the fault that counts as recovered.
	enough = 0.9
	// quiet is how many consecutive points, checked in halves, must be well for the
	// stack to count as healed.
	quiet = 10
)

// EffectOf summarises the outcomes of requests with this SLO around a fault;
// fault is the time since the start of the traffic.
func EffectOf(outcomes []Outcome, slo, fault time.Duration) Effect {
	e := Effect{Counts: Counts{Errors: map[protocol.Code]int{}}, Earlier: Counts{Errors: map[protocol.Code]int{}}}
	before, okBefore := 0, 0
	for _, o := range outcomes {
		e.Counts.count(o, slo)
		ok := o.Replies > 0 && o.Code == protocol.OK && !o.late(slo)
		if o.At < fault {
			before++
			e.Earlier.count(o, slo)
			if ok {
				okBefore++
			}
		} else if !ok {
			e.Lost++
		}
		e.plot(o.At-fault, ok)
	}
	if before > 0 {
		e.Before = float64(okBefore) / float64(before)
	}
	e.heal()
	return e
}

func (e *Counts) count(o Outcome, slo time.Duration) {
	e.Sent++
	switch {
	case o.Unsent:
		e.Unsent++
		return
	case o.Replies == 0:
		e.Unanswered++
		return
	case o.Code != protocol.OK:
		e.Errors[o.Code]++
		if o.late(slo) {
			e.LateErrors++
		}
	case o.late(slo):
		e.Late++
	default:
		e.OK++
	}
	if o.Replies > 1 {
		e.Duplicates++
	}
}

// Since returns the counts of the time since the fault.
func (e *Effect) Since() Counts {
	since := e.Counts
	since.Errors = map[protocol.Code]int{}
	for code, n := range e.Errors {
		if n -= e.Earlier.Errors[code]; n > 0 {
			since.Errors[code] = n
		}
	}
	since.Sent -= e.Earlier.Sent
	since.OK -= e.Earlier.OK
	since.Unsent -= e.Earlier.Unsent
	since.Unanswered -= e.Earlier.Unanswered
	since.Late -= e.Earlier.Late
	since.LateErrors -= e.Earlier.LateErrors
	since.Duplicates -= e.Earlier.Duplicates
	return since
}

func (o Outcome) late(slo time.Duration) bool { return o.Answered > o.At+slo+promise }

// plot counts a request in its point of the curve. Requests come in order of
// their due times.
func (e *Effect) plot(at time.Duration, ok bool) {
	from := at.Truncate(step)
	if at < from {
		from -= step
	}
	if n := len(e.Curve); n == 0 || e.Curve[n-1].At != from {
		e.Curve = append(e.Curve, Point{At: from})
	}
	p := &e.Curve[len(e.Curve)-1]
	p.Sent++
	if ok {
		p.OK++
	}
}

func (e *Effect) heal() {
	for i := 0; i+quiet <= len(e.Curve) && e.Before > 0; i++ {
		if e.Curve[i].At >= 0 && e.well(i, 1) && e.well(i, quiet/2) && e.well(i+quiet/2, quiet/2) {
			e.Heal, e.Healed = e.Curve[i].At, true
			return
		}
	}
}

// well reports whether the share of OK in n points from `from` on is nearly that
// before the fault.
func (e *Effect) well(from, n int) bool {
	sent, ok := 0, 0
	for _, p := range e.Curve[from : from+n] {
		sent, ok = sent+p.Sent, ok+p.OK
	}
	return float64(ok) >= enough*e.Before*float64(sent)
}
