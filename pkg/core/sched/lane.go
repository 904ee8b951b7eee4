package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// lane predicts when a GPU's execution lane is free. The worker executes the Infers in
// gpu.infers one after the other, in the order in which they were sent.
//
// Invariant: work is the sum of takes and wait over gpu.infers; the first has no wait.
type lane struct {
	// begun is when the first Infer of gpu.infers begins, or is assumed to have begun;
	// valid while there is one.
	begun protocol.Time
	// work is the expected duration of all Infers without a result, and of the pauses
	// between them for inputs.
	work time.Duration
	// hedge is how much sooner than planned the first Infer is likely to begin, 0 if it
	// follows another. A plan leaves time for messages that they seldom need.
	hedge time.Duration
}

// add appends an action to a lane that will be free at `free`. If it is the first, it begins
// at start.
func (l *lane) add(a *action, first bool, start, free protocol.Time) {
	if first {
		l.begun = start
	} else {
		a.wait = max(0, a.ready.Sub(free))
	}
	l.work += a.takes + a.wait
}

// remove removes an action that ended at `end`. If it was the first, the next one begins
// then, or when its inputs are in place; nil for no next one.
func (l *lane) remove(a *action, first bool, end protocol.Time, next *action) {
	l.work -= a.takes + a.wait
	if !first {
		return
	}
	l.begun, l.hedge = max(l.begun, end), 0
	if next != nil {
		l.begun = max(l.begun, next.ready)
		l.work -= next.wait
		next.wait = 0
	}
}

// first returns the Infer that executes or is the next one to execute, nil for none.
func (g *gpu) first() *action {
	if len(g.infers) == 0 {
		return nil
	}
	return g.infers[0]
}

// free returns when the lane will have executed everything. The first action ends now at
// the earliest, less the time of its result's message: while the first action is late,
// free moves with the clock.
func (g *gpu) free(now protocol.Time) protocol.Time {
	if len(g.infers) == 0 {
		return now
	}
	first := g.infers[0].takes
	return max(now.Add(-g.worker.delay.fromWorker.value()), g.lane.begun.Add(first)).Add(g.lane.work - first)
}

// expectedFree returns when the lane is likely to have executed everything. It is for
// Plan alone; decisions use free.
func (g *gpu) expectedFree(now protocol.Time) protocol.Time { return g.free(now).Add(-g.lane.hedge) }

// late returns how overdue the result of the first action is, 0 if it is not.
func (g *gpu) late(now protocol.Time) time.Duration {
	if len(g.infers) == 0 {
		return 0
	}
	return max(0, now.Sub(g.lane.begun.Add(g.infers[0].takes))-g.worker.delay.fromWorker.value())
}
