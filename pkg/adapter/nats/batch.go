package bus

import "sync"

// Batch collects items of one kind for one place and sends them together, in
// the goroutine of whoever flushes: no goroutine stands between. While one
// flush is at work, what others add leaves together after it. Its methods
// may be called from any goroutine.
//
// Whoever adds also flushes, at once or as soon as it has nothing more to add
// (Pending helps a NATS callback to tell); nothing waits in order to be batched.
type Batch[T any] struct {
	send     func([]T)
	maxItems int

	sending sync.Mutex // held by the flush at work, so that order is kept
	spare   []T        // the slice of the last flush, to be used again

	mu    sync.Mutex
	queue []T
}

// NewBatch makes a batch that calls send with one to maxItems items at a time.
// The slice belongs to the batch again when send returns.
func NewBatch[T any](maxItems int, send func([]T)) *Batch[T] {
	return &Batch[T]{send: send, maxItems: maxItems}
}

// Add queues items for the next flush.
func (b *Batch[T]) Add(items ...T) {
	b.mu.Lock()
	b.queue = append(b.queue, items...)
	b.mu.Unlock()
}

// Flush sends what is queued. If another flush is at work, that one sends it,
// after Flush has returned.
func (b *Batch[T]) Flush() {
	for !b.empty() && b.sending.TryLock() {
		b.flush()
		b.sending.Unlock()
		// Who came between the two found the lock taken: look again.
	}
}

func (b *Batch[T]) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) == 0
}

// flush sends what is queued at this moment. The caller holds sending.
func (b *Batch[T]) flush() {
	b.mu.Lock()
	items := b.queue
	b.queue, b.spare = b.spare[:0], nil
	b.mu.Unlock()
	for rest := items; len(rest) > 0; {
		n := min(len(rest), b.maxItems)
		b.send(rest[:n])
		rest = rest[n:]
	}
	clear(items)
	b.spare = items[:0]
}
