// Package heap is a priority queue with a total order: by key, and for equal
// keys by a tie that the caller makes unique. The same operations therefore give
// the same order on every machine. Elements can be moved and removed at any
// time; only the heap's own array is allocated.
//
// The scheduling core and the simulator order their timers and queues with it.
// It is pure and has no lock: one goroutine owns a heap. It was written by hand
// because decisions depend on its order.
package heap

// Node is an element; it is in at most one heap at a time. Embed it in the
// element's struct, and set Of to that struct.
type Node[T any] struct {
	// Key and Tie are the node's place; Set changes them, and nothing else may while
	// the node is in a heap. No two nodes of a heap have the same Key and Tie.
	Key int64
	Tie uint64
	// Of is the element that the node belongs to.
	Of T
	// pos is the node's index in the heap + 1, 0 outside a heap. The heap maintains it.
	pos int
}

// In reports whether the node is in a heap.
func (n *Node[T]) In() bool { return n.pos != 0 }

// Heap is a binary min-heap by (Key, Tie). The zero value is empty. Callers may range
// over the nodes: the first is the least, the others are in no particular order.
type Heap[T any] []*Node[T]

// First returns the least node, nil if the heap is empty.
func (h Heap[T]) First() *Node[T] {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

// Set inserts n with key and tie, or moves it if it is in the heap. O(log n).
func (h *Heap[T]) Set(n *Node[T], key int64, tie uint64) {
	n.Key, n.Tie = key, tie
	if n.pos == 0 {
		*h = append(*h, n)
		n.pos = len(*h)
	}
	h.down(h.up(n.pos - 1))
}

// Remove removes n if it is in the heap.
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

// up moves the node at i towards the root as far as needed and returns its index.
func (h Heap[T]) up(i int) int {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	return i
}

// down moves the node at i away from the root as far as needed and returns its index.
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
