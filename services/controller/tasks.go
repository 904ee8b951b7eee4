package controller

import (
	"sync"
)

// tasks are goroutines of one owner, who waits for all of them. Its methods
// may be called from any goroutine.
type tasks struct {
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// start runs f in a goroutine. After stop it does not, and returns false.
func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	t.running.Go(f)
	return true
}

// stop lets no more begin and waits for those that run.
func (t *tasks) stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.running.Wait()
}
