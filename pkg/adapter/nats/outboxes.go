package bus

// Outboxes collect items by receiver: those that are added together leave together, in as few
// messages as Cut allows, in order for each receiver. Whoever adds also flushes; no item waits
// for others. Its methods may not be called at the same time: its users have a lock or a
// goroutine of their own, and another lock for each item would cost more than the rest.
type Outboxes[K comparable, T any] struct {
	cut   Cut[T]
	open  func(K) (send func([]T))
	boxes map[K]*outbox[T]
	full  []*outbox[T] // those with unsent items, in the order of their first one
	count int          // unsent items
}

// outbox is one receiver's.
type outbox[T any] struct {
	send  func([]T)
	items []T
}

// Cut bounds one message.
type Cut[T any] struct {
	// Items is how many it has at most.
	Items int
	// Bytes is how many bytes they have at most, by Size; a larger item is sent alone. A nil
	// Size bounds nothing.
	Bytes func() int64
	Size  func(*T) int64
}

// maxOutboxes bounds the receivers that are remembered, so that their memory is used again.
const maxOutboxes = 4096

// NewOutboxes returns outboxes that ask open, once for each receiver, how to send to it. The
// slice that is sent belongs to the outboxes again when send returns.
func NewOutboxes[K comparable, T any](cut Cut[T], open func(K) (send func([]T))) *Outboxes[K, T] {
	return &Outboxes[K, T]{cut: cut, open: open, boxes: map[K]*outbox[T]{}}
}

// Len returns how many items are unsent.
func (o *Outboxes[K, T]) Len() int { return o.count }

// Add queues an item for the next flush.
func (o *Outboxes[K, T]) Add(to K, item T) {
	box := o.boxes[to]
	if box == nil {
		box = o.newBox(to)
	}
	if len(box.items) == 0 {
		o.full = append(o.full, box)
	}
	box.items = append(box.items, item)
	o.count++
}

// newBox makes a receiver's box. Where too many are remembered, all are forgotten; what is
// unsent in them is sent.
func (o *Outboxes[K, T]) newBox(to K) *outbox[T] {
	if len(o.boxes) >= maxOutboxes {
		clear(o.boxes)
	}
	box := &outbox[T]{send: o.open(to)}
	o.boxes[to] = box
	return box
}

// Flush sends what is queued.
func (o *Outboxes[K, T]) Flush() {
	for _, box := range o.full {
		o.cut.each(box.items, box.send)
		clear(box.items)
		box.items = box.items[:0]
	}
	clear(o.full)
	o.full, o.count = o.full[:0], 0
}

// each calls send for the items of each message.
func (c *Cut[T]) each(items []T, send func([]T)) {
	for len(items) > 0 {
		n := c.first(items)
		send(items[:n])
		items = items[n:]
	}
}

// first returns how many of the items go into the first message.
func (c *Cut[T]) first(items []T) int {
	n := min(len(items), c.Items)
	if c.Size == nil {
		return n
	}
	left := c.Bytes()
	for i := range n {
		if left -= c.Size(&items[i]); left < 0 && i > 0 {
			return i
		}
	}
	return n
}
