package sched

import (
	"clockwork/pkg/protocol"
)

// choose makes the batch that a copy runs at start, of requests from first on,
// leaves it in p.members and returns the size at which it runs (0: none).
func (p *clockworkPolicy) choose(on *replica, first *request, start protocol.Time) int {
	switch {
	case p.bound != nil:
		return p.gather(on, first, start, p.bound.Most(int(on.model.index)), false)
	case p.Batch == Single:
		p.members = append(p.members[:0], first)
		return first.size
	case p.Batch == Full:
		return p.fullest(on, start)
	}
	return p.largest(on, first, start)
}

// largest chooses how many run together. Every batch size b has the first
// request that could be in it: the first whose deadline b meets. Those before
// are lost to a batch that begins with it. So a larger batch costs requests
// that a smaller one could save, and a smaller one costs time that a larger one
// would use better. With the price of time at the present pressure, the best is
// what yields most, with what could still be done after it.
func (p *clockworkPolicy) largest(on *replica, first *request, start protocol.Time) int {
	m := on.model
	most := p.most(on)
	size := p.gather(on, first, start, most, true)
	if len(p.members) == 0 {
		return 0
	}
	rest := p.members[len(p.members)-1].next
	if p.batchFull(size, most) {
		return size
	}
	items := p.count()
	price := min(p.gpuTimePrice(on.gpu), float64(most)/float64(on.exec(most)))
	value := float64(items) - price*float64(on.exec(size))
	if behind := m.items - items; behind > 0 {
		next := m.spec.Fits(min(most, behind))
		if start.Add(on.exec(size)).Add(on.exec(next)) <= rest.deadline {
			value += max(0, float64(min(most, behind))-price*float64(on.exec(next)))
		}
	}
	best := first
	for from := first.next; from != nil; from = from.next {
		size := p.gather(on, from, start, most, true)
		if v := float64(p.count()) - price*float64(on.exec(size)); v > value {
			best, value = from, v
		}
		if p.batchFull(size, most) {
			break
		}
	}
	return p.gather(on, best, start, most, true)
}

// batchFull: no request that waits could join the members of a batch.
func (p *clockworkPolicy) batchFull(size, most int) bool {
	if size >= most || len(p.members) == 0 {
		return size >= most
	}
	next := p.members[len(p.members)-1].next
	if next == nil {
		return true
	}
	with := next.model.spec.Fits(p.count() + next.Batch)
	return with == 0 || with > most
}

// gpuTimePrice is what a GPU's time is worth in requests: what it serves in it, as far
// as requests are being lost.
func (p *clockworkPolicy) gpuTimePrice(g *gpu) float64 {
	if g.busyTime == 0 || !p.Priced {
		return 0
	}
	return g.served / g.busyTime * min(1, gain*p.pressure)
}

// gain is how fast pressure makes a GPU's time dear: at full price from a loss
// of one request in sixteen on.
const gain = 16

// count is the items of the members.
func (p *clockworkPolicy) count() (items int) {
	for _, r := range p.members {
		items += r.Batch
	}
	return items
}

// gather takes requests from first on while the batch meets all of their
// deadlines (or, without strict, each alone) and has at most so many items.
func (p *clockworkPolicy) gather(on *replica, first *request, start protocol.Time, most int, strict bool) int {
	spec := &on.model.spec
	p.members = p.members[:0]
	size, items, due := 0, 0, protocol.Never
	for r := first; r != nil; r = r.next {
		next := spec.Fits(items + r.Batch)
		if next == 0 || next > most && len(p.members) > 0 {
			break
		}
		due = min(due, r.deadline)
		if strict && start.Add(on.exec(next)) > due {
			break
		}
		p.members = append(p.members, r)
		size, items = next, items+r.Batch
	}
	return p.trim(on, size, items)
}

// trim gives up padding where two batches of the compiled sizes around take
// less time than one padded one.
func (p *clockworkPolicy) trim(on *replica, size, items int) int {
	spec := &on.model.spec
	if size == items || len(p.members) < 2 {
		return size
	}
	below := 0
	for _, b := range spec.BatchSizes {
		if b < items {
			below = b
		}
	}
	if below == 0 || on.exec(size) <= on.exec(below)+on.exec(spec.Fits(items-below)) {
		return size
	}
	for len(p.members) > 1 && items > below {
		last := p.members[len(p.members)-1]
		items -= last.Batch
		p.members = p.members[:len(p.members)-1]
	}
	return spec.Fits(items)
}

// fullest takes the largest compiled size of which there are enough requests
// that it can still do in time, as the original does.
func (p *clockworkPolicy) fullest(on *replica, start protocol.Time) int {
	m := on.model
	sizes := m.spec.BatchSizes
	for i := len(sizes) - 1; i >= 0; i-- {
		size := sizes[i]
		if size > p.most(on) && i > 0 || size > m.items {
			continue
		}
		p.members = p.members[:0]
		items := 0
		for r := m.head; r != nil && items < size; r = r.next {
			if items+r.Batch <= size && start.Add(on.exec(size)) <= r.deadline {
				p.members = append(p.members, r)
				items += r.Batch
			}
		}
		if items == size {
			return size
		}
	}
	return p.rest(on, start)
}

// rest runs a request whose items make no full batch at the next size.
func (p *clockworkPolicy) rest(on *replica, start protocol.Time) int {
	m := on.model
	for r := m.head; r != nil; r = r.next {
		if start.Add(on.exec(r.size)) <= r.deadline {
			p.members = append(p.members[:0], r)
			return r.size
		}
	}
	return 0
}
