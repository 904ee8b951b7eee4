package bus

import (
	"cmp"
	"sync"
	"time"
)

// logEvery is the minimum interval between two lines of a logLimiter.
const logEvery = time.Second

// logLimiter counts events that other parties can cause at any rate, so that a log has
// few lines about them: one a second, or what pace says. Its zero value is ready; any
// goroutine may use it.
type logLimiter struct {
	mu    sync.Mutex
	pace  pace
	count int // since the last line
	// free is when the limiter has forgotten its lines: each takes pace.every of it.
	free time.Time
}

// pace is how many lines follow each other at once after a quiet time, and the interval
// between later ones. The zero value is a line a second.
type pace struct {
	burst int
	every time.Duration
}

// Add counts an event, and returns how many events to log now, 0 for none yet.
func (t *logLimiter) Add(now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	p := cmp.Or(t.pace, pace{burst: 1, every: logEvery})
	if t.free.Sub(now) > time.Duration(p.burst-1)*p.every {
		return 0
	}
	if t.free.Before(now) {
		t.free = now
	}
	count := t.count
	t.count, t.free = 0, t.free.Add(p.every)
	return count
}

// idle reports whether the limiter has forgotten its lines: a new one would do the same, but
// for the events that it has counted since.
func (t *logLimiter) idle(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.free.After(now)
}
