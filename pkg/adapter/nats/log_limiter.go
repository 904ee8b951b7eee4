package bus

import (
	"sync"
	"time"
)

// logEvery is the minimum interval between two lines of a LogLimiter.
const logEvery = time.Second

// LogLimiter counts events that other parties can cause at any rate, so that a log has
// at most one line a second about them. Its zero value is ready; any goroutine may use
// it.
type LogLimiter struct {
	mu     sync.Mutex
	count  int // since the last line
	logged time.Time
}

// Add counts an event, and returns how many events to log now, 0 for none yet.
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
