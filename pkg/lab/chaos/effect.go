package chaos

import (
	"time"

	"clockwork/pkg/protocol"
)

// Effect is what users saw of a fault.
type Effect struct {
	Sent       int                   `json:"sent"`
	OK         int                   `json:"ok"`
	Errors     map[protocol.Code]int `json:"-"`
	Unsent     int                   `json:"unsent"`     // the broker could not be reached
	Unanswered int                   `json:"unanswered"` // sent, and nobody ever said anything
	Late       int                   `json:"late"`       // served more than 50 ms after the deadline
	// The sum of those is Sent; LateErrors are errors told as late as that, and
	// Duplicates requests that were answered more than once.
	LateErrors int `json:"late_errors"`
	Duplicates int `json:"duplicates"`

	// Before is the share of requests that were OK before the fault; Lost is how
	// many were not since.
	Before float64 `json:"share_before"`
	Lost   int     `json:"lost"`
	// Heal is from the fault to the first tenth of a second from which on, for a
	// second, nine in ten of that share are OK in each half of it; Healed: there
	// was one.
	Heal   time.Duration `json:"heal_ns"`
	Healed bool          `json:"healed"`
	Curve  []Point       `json:"curve"`
}

// Point is a tenth of a second of the curve, by the time at which requests were
// due, relative to the fault.
type Point struct {
	At   time.Duration `json:"at_ns"`
	Sent int           `json:"sent"`
	OK   int           `json:"ok"`
}

const (
	// step is how fine the curve is.
	step = 100 * time.Millisecond
	// promise is how long after its deadline a request is answered at the latest.
	promise = 50 * time.Millisecond
	// enough is the part of the share before the fault at which all is well.
	enough = 0.9
	// quiet is how many points of the curve must be well, in halves, for the stack
	// to count as healed.
	quiet = 10
)

// EffectOf sums up what became of requests with an SLO, of a fault that came at
// an instant of the traffic.
func EffectOf(outcomes []Outcome, slo, fault time.Duration) Effect {
	e := Effect{Errors: map[protocol.Code]int{}}
	before, okBefore := 0, 0
	for _, o := range outcomes {
		e.count(o, slo)
		ok := o.Replies > 0 && o.Code == protocol.OK && !o.late(slo)
		if o.At < fault {
			before++
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

func (e *Effect) count(o Outcome, slo time.Duration) {
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

func (o Outcome) late(slo time.Duration) bool { return o.Answered > o.At+slo+promise }

// plot counts a request in its part of the curve. Requests come in the order in
// which they were due.
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

// well: the share that was OK in n points from one on is nearly what it was
// before the fault.
func (e *Effect) well(from, n int) bool {
	sent, ok := 0, 0
	for _, p := range e.Curve[from : from+n] {
		sent, ok = sent+p.Sent, ok+p.OK
	}
	return float64(ok) >= enough*e.Before*float64(sent)
}
