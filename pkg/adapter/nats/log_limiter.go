package bus

import (
	"sync"
	"time"
)

// logEvery is the shortest time between two lines of a LogLimiter.
const logEvery = time.Second

// LogLimiter counts events that others cause as often as they like, so that a log has
// one line a second of them at most. Its zero value is ready; any goroutine may use it.
type LogLimiter struct {
	mu     sync.Mutex
	count  int // since it was told of
	logged time.Time
}

// Add counts one, and returns how many to log now, 0 for not yet.
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
