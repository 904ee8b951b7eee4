package host

import (
	"sync"
)

// Tasks are goroutines of one owner, who waits for all of them. Its methods
// may be called from any goroutine.
type Tasks struct {
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// Start runs f in a goroutine. After Stop it does not, and returns false.
func (t *Tasks) Start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	t.running.Go(f)
	return true
}

// Stop lets no more begin and waits for those that run.
func (t *Tasks) Stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.running.Wait()
}
