package host

import (
	"sync"
)

// Tasks are the goroutines of one owner, who waits for all of them. Its methods
// may be called from any goroutine.
type Tasks struct {
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// Start runs f in a goroutine. After Stop it returns false and does not run f.
func (t *Tasks) Start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	t.running.Go(f)
	return true
}

// Stop prevents new goroutines and waits for the running ones.
func (t *Tasks) Stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.running.Wait()
}
