package bus

import (
	"sync"
	"time"
)

// tellEvery bounds how often a Tally is told of.
const logEvery = time.Second

// Tally counts what others make happen as often as they like, so that a log tells
// of it once a second at most. Its zero value is ready; any goroutine may use it.
type LogLimiter struct {
	mu     sync.Mutex
	count  int // since it was told of
	logged time.Time
}

// Add counts one, and returns how many are to be told of now, 0 for not yet.
func (t *LogLimiter) Add(now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if now.Sub(t.logged) < logEvery {
		return 0
	}
	count := t.count
	t.count, t.logged = 0, now
	return count
}
