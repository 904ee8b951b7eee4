package bus

import "sync"

// Batch collects items of one kind for one place and sends them together, in
// the goroutine of whoever flushes: no goroutine stands between. While one
// flush is at work, what others add leaves together with the next. Its methods
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

// Flush sends what is queued.
func (b *Batch[T]) Flush() {
	b.sending.Lock()
	defer b.sending.Unlock()
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
