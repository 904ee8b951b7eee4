package bus

import "sync"

// Batch collects items for one receiver and sends them together, on the goroutine that
// calls Flush: there is no goroutine in between. Items added during a flush are sent
// together after it. Its methods may be called from any goroutine.
//
// A caller of Add also calls Flush, at once or when it has nothing more to add (in a NATS
// callback, nats.Subscription.Pending shows that); no item waits for others to fill a
// batch.
type Batch[T any] struct {
	send     func([]T)
	maxItems int

	sending sync.Mutex // held by the active flush, to keep the order
	spare   []T        // the slice of the last flush, for reuse

	mu    sync.Mutex
	queue []T
}

// NewBatch returns a batch that calls send with one to maxItems items at a time. The
// slice belongs to the batch again when send returns.
func NewBatch[T any](maxItems int, send func([]T)) *Batch[T] {
	return &Batch[T]{send: send, maxItems: maxItems}
}

// Add queues items for the next flush.
func (b *Batch[T]) Add(items ...T) {
	b.mu.Lock()
	b.queue = append(b.queue, items...)
	b.mu.Unlock()
}

// Flush sends the queued items. If another flush is active, that flush sends them,
// possibly after this call has returned.
func (b *Batch[T]) Flush() {
	for !b.empty() && b.sending.TryLock() {
		b.flush()
		b.sending.Unlock()
		// Another caller may have found the lock taken in between: check again.
	}
}

func (b *Batch[T]) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) == 0
}

// flush sends the items queued now. The caller holds sending.
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
