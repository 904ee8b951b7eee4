package sched

// node is an element of a heap; pos is its place + 1 there, 0 outside. A node
// is in one heap at a time. Ties of key end in tie, which is unique.
type node[T any] struct {
	key int64
	tie uint64
	pos int
	of  T
}

// heap gives the node of the least (key, tie). Written by hand because the
// order decides.
type heap[T any] []*node[T]

func (h heap[T]) first() *node[T] {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

// set puts n at key, whether or not it is in the heap.
func (h *heap[T]) set(n *node[T], key int64, tie uint64) {
	n.key, n.tie = key, tie
	if n.pos == 0 {
		*h = append(*h, n)
		n.pos = len(*h)
	}
	h.down(h.up(n.pos - 1))
}

func (h *heap[T]) remove(n *node[T]) {
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

func (h heap[T]) less(i, j int) bool {
	if h[i].key != h[j].key {
		return h[i].key < h[j].key
	}
	return h[i].tie < h[j].tie
}

func (h heap[T]) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}

func (h heap[T]) up(i int) int {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	return i
}

func (h heap[T]) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
