package clocksync

import (
	"time"

	"clockwork/pkg/protocol"
)

// QueryEvery is the interval between queries of the scheduler's clock, restEvery the
// interval after restAfter without work.
const (
	QueryEvery = 25 * time.Millisecond
	restEvery  = 250 * time.Millisecond
	restAfter  = 2 * time.Second
)

// Pace says when a worker queries the scheduler's clock. Times are of one clock, which is
// the caller's.
type Pace struct {
	// Every is in place of QueryEvery, for a simulation; 0 for QueryEvery.
	Every time.Duration

	worked  protocol.Time // when there was work last
	resting bool
}

// Next returns how long after a query the next one is due. idle: the worker has nothing to
// execute, and knows the scheduler's clock.
func (p *Pace) Next(now protocol.Time, idle bool) time.Duration {
	every := p.Every
	if every == 0 {
		every = QueryEvery
	}
	p.resting = idle && now.Sub(p.worked) > restAfter
	if p.resting {
		return max(every, restEvery)
	}
	return every
}

// Work notes that an action arrived, or that the scheduler is another one. It reports
// whether a query is due at once: the last one was at rest, and the work needs the clock.
func (p *Pace) Work(now protocol.Time) (due bool) {
	due, p.worked, p.resting = p.resting, now, false
	return due
}
