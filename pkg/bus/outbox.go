package bus

import "sync"

// Outbox sends items of one kind to one place. Items that queue up while a
// message is on its way leave together in the next one; nothing waits in order
// to be batched. Add may be called from any goroutine.
type Outbox[T any] struct {
	send     func([]T)
	maxItems int

	mu     sync.Mutex
	queue  []T
	spare  []T
	wake   chan struct{}
	closed bool
	done   chan struct{}
}

// NewOutbox starts an outbox whose goroutine calls send with one to maxItems
// items. The slice belongs to the outbox again when send returns.
func NewOutbox[T any](maxItems int, send func([]T)) *Outbox[T] {
	o := &Outbox[T]{send: send, maxItems: maxItems, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go o.run()
	return o
}

// Add queues items. After Close they are dropped.
func (o *Outbox[T]) Add(items ...T) {
	o.mu.Lock()
	if !o.closed {
		o.queue = append(o.queue, items...)
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default: // somebody else woke it already
	}
}

// Close sends what is queued and ends the goroutine.
func (o *Outbox[T]) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	<-o.done
}

func (o *Outbox[T]) run() {
	defer close(o.done)
	for range o.wake {
		items, closed := o.take()
		for rest := items; len(rest) > 0; {
			n := min(len(rest), o.maxItems)
			o.send(rest[:n])
			rest = rest[n:]
		}
		clear(items)
		if closed && len(items) == 0 {
			return
		}
		if closed {
			o.again()
		}
	}
}

func (o *Outbox[T]) take() ([]T, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	items := o.queue
	o.queue, o.spare = o.spare[:0], items
	return items, o.closed
}

func (o *Outbox[T]) again() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
