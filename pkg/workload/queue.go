package workload

import "clockwork/pkg/protocol"

// entry is an arrival to come. Ties of time end in (stream, client).
type entry struct {
	at     protocol.Time
	stream uint32
	client uint32
}

func (e entry) before(f entry) bool {
	if e.at != f.at {
		return e.at < f.at
	}
	return e.order() < f.order()
}

func (e entry) order() uint64 { return uint64(e.stream)<<32 | uint64(e.client) }

// queue is a heap of entries, the first first. Each has up to four children,
// which halves the depth and reads memory in order.
type queue []entry

func (q *queue) push(e entry) {
	*q = append(*q, e)
	h, i := *q, len(*q)-1
	for i > 0 && e.before(h[(i-1)/4]) {
		h[i] = h[(i-1)/4]
		i = (i - 1) / 4
	}
	h[i] = e
}

func (q *queue) pop() {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	if len(*q) > 0 {
		q.replace(last)
	}
}

// replace puts e in the place of the first.
func (q queue) replace(e entry) {
	i := 0
	for 4*i+1 < len(q) {
		children := q[4*i+1 : min(4*i+5, len(q))]
		least := 0
		for c := 1; c < len(children); c++ {
			if children[c].before(children[least]) {
				least = c
			}
		}
		if !children[least].before(e) {
			break
		}
		q[i] = children[least]
		i = 4*i + 1 + least
	}
	q[i] = e
}
