package local

import "sync"

// mailbox passes what is put into it to take, on a goroutine of its own that runs while
// there is something: who puts holds locks and is not to wait.
type mailbox[T any] struct {
	take    func([]T)
	running sync.WaitGroup

	mu     sync.Mutex
	queue  []T
	taking bool
	closed bool
}

// put adds to the queue. It reports false if the mailbox is closed.
func (m *mailbox[T]) put(add func(queue []T) []T) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.queue = add(m.queue)
	if !m.taking {
		m.taking = true
		m.running.Go(m.run)
	}
	return true
}

func (m *mailbox[T]) run() {
	for batch := m.next(); batch != nil; batch = m.next() {
		m.take(batch)
	}
}

// next removes and returns what is in the queue, nil for nothing.
func (m *mailbox[T]) next() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	batch := m.queue
	m.queue = nil // whoever takes a batch may keep it
	m.taking = batch != nil
	return batch
}

// close takes nothing more, and waits until all is taken.
func (m *mailbox[T]) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.running.Wait()
}
