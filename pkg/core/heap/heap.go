// Package heap is a priority queue whose order is total: by key, and where
// keys are equal by a tie that the caller makes unique. So the same history
// gives the same order on every machine. Elements can be moved and taken out
// at any time; nothing is allocated but the heap's own array.
//
// The scheduling core and the simulator order their timers and turns with it.
// It is pure and has no lock: one goroutine owns a heap. It was written by hand
// because decisions rest on its order.
package heap

// Node is an element; it is in one heap at a time. Embed it in what it stands
// for, and let Of lead back there.
type Node[T any] struct {
	Key int64
	Tie uint64
	Of  T
	pos int // its place + 1, 0 outside
}

// In reports whether the node is in a heap.
func (n *Node[T]) In() bool { return n.pos != 0 }

// Heap gives the node of the least (Key, Tie). The zero value is empty.
type Heap[T any] []*Node[T]

// First returns the least node, nil of an empty heap.
func (h Heap[T]) First() *Node[T] {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

// Set puts n at key, whether or not it is in the heap. It takes O(log n).
func (h *Heap[T]) Set(n *Node[T], key int64, tie uint64) {
	n.Key, n.Tie = key, tie
	if n.pos == 0 {
		*h = append(*h, n)
		n.pos = len(*h)
	}
	h.down(h.up(n.pos - 1))
}

// Remove takes n out, if it is in the heap.
func (h *Heap[T]) Remove(n *Node[T]) {
	if n.pos == 0 {
		return
	}
	i, last := n.pos-1, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	n.pos = 0
	if i < last {
		h.down(h.up(i))
	}
}

func (h Heap[T]) less(i, j int) bool {
	if h[i].Key != h[j].Key {
		return h[i].Key < h[j].Key
	}
	return h[i].Tie < h[j].Tie
}

func (h Heap[T]) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}

func (h Heap[T]) up(i int) int {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	return i
}

func (h Heap[T]) down(i int) int {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h.less(child, least) {
				least = child
			}
		}
		if least == i {
			return i
		}
		h.swap(i, least)
		i = least
	}
}
