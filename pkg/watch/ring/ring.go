// Package ring keeps the latest of many things in bounded memory: those that were answered,
// for whoever asks about them later. It has no lock; one goroutine at a time uses a Ring.
package ring

// Ring keeps the latest elements that were put into it.
type Ring[T any] struct {
	list []T
	next int // where the next element goes, once the ring is full
	size int
}

// New makes a ring of a size. It allocates all of it at once: growing would copy its content
// repeatedly.
func New[T any](size int) Ring[T] { return Ring[T]{list: make([]T, 0, size), size: size} }

// Len returns how many elements there are.
func (r *Ring[T]) Len() int { return len(r.list) }

// Slot returns the place of the next element: that of the oldest one, which the caller
// overwrites, or an empty one.
func (r *Ring[T]) Slot() *T {
	if len(r.list) < r.size {
		r.list = r.list[:len(r.list)+1]
		return &r.list[len(r.list)-1]
	}
	slot := &r.list[r.next]
	r.next = (r.next + 1) % r.size
	return slot
}

// Latest calls look with each element, the latest first, until look returns false.
func (r *Ring[T]) Latest(look func(*T) (more bool)) {
	for i := range r.list {
		if !look(&r.list[(r.next-1-i+2*len(r.list))%len(r.list)]) {
			return
		}
	}
}
