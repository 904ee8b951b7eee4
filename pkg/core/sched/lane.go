package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// lane predicts one GPU's execution lane. It knows the actions that were sent
// and have no result, in order; the worker runs them one after the other.
type lane struct {
	begun protocol.Time // when the first of the open actions is taken to have begun
	work  time.Duration // the open actions together
	// hedge is how much sooner than planned the first of them may well begin: a plan
	// leaves time for its messages that they seldom need.
	hedge time.Duration
}

// add appends an action that should begin at start if nothing is before it.
func (l *lane) add(a *action, first bool, start protocol.Time) {
	if first {
		l.begun = start
	}
	l.work += a.takes
}

// remove takes an action out; what follows a first one begins at its end.
func (l *lane) remove(a *action, first bool, end protocol.Time) {
	l.work -= a.takes
	if first {
		l.begun, l.hedge = max(l.begun, end), 0
	}
}

// free is when the lane has done everything, as seen now. The first action
// ends now at the earliest: a lane that is late slips with the clock.
func (g *gpu) free(now protocol.Time) protocol.Time {
	if len(g.infers) == 0 {
		return now
	}
	first := g.infers[0].takes
	return max(now.Add(-g.worker.delay.fromWorker.value()), g.lane.begun.Add(first)).Add(g.lane.work - first)
}

// expectedFree is when the lane is likely to have done everything, which is sooner than it
// may be planned with.
func (g *gpu) expectedFree(now protocol.Time) protocol.Time { return g.free(now).Add(-g.lane.hedge) }

// late is how overdue the first action is.
func (g *gpu) late(now protocol.Time) time.Duration {
	if len(g.infers) == 0 {
		return 0
	}
	return max(0, now.Sub(g.lane.begun.Add(g.infers[0].takes))-g.worker.delay.fromWorker.value())
}
