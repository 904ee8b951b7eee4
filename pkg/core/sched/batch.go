package sched

import (
	"clockwork/pkg/protocol"
)

// choose selects the batch that a copy runs at `start`, of requests from first on. It puts
// the members into p.members and returns the batch size at which they run; 0 for none.
func (p *clockworkPolicy) choose(on *replica, first *request, start protocol.Time) int {
	switch {
	case first.single():
		p.members = append(p.members[:0], first)
		return first.size
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

// largest selects how many requests run together. Every batch size has a first request
// that it can serve: the first whose deadline it meets. The requests before that are lost
// to such a batch. So a larger batch loses requests that a smaller one could serve, and a
// smaller batch uses more time per request. The best batch has the highest value: its
// items, less the price of its time under the present pressure, plus the value of the
// batch that can still follow it.
func (p *clockworkPolicy) largest(on *replica, first *request, start protocol.Time) int {
	m := on.model
	most := p.most(on, m.items)
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

// batchFull reports whether no waiting request could join the members of a batch.
func (p *clockworkPolicy) batchFull(size, most int) bool {
	if size >= most || len(p.members) == 0 {
		return size >= most
	}
	next := p.members[len(p.members)-1].next
	if next == nil || next.single() || p.members[0].single() {
		return true
	}
	with := next.model.spec.Fits(p.count() + next.Batch)
	return with == 0 || with > most
}

// gpuTimePrice returns the price of a GPU's time, in requests per nanosecond: the rate at
// which the GPU serves, scaled by the pressure. It is 0 while no requests are lost.
func (p *clockworkPolicy) gpuTimePrice(g *gpu) float64 {
	if g.busyTime == 0 || !p.Priced {
		return 0
	}
	return g.served / g.busyTime * min(1, gain*p.pressure)
}

// gain scales pressure to the price of a GPU's time: the full price applies once one
// request in sixteen is lost.
const gain = 16

// count returns the number of items of the members.
func (p *clockworkPolicy) count() (items int) {
	for _, r := range p.members {
		items += r.Batch
	}
	return items
}

// gather puts requests from first on into p.members while the batch has at most `most`
// items and, if strict, meets all of their deadlines. It returns the batch size. A single
// request may exceed most.
func (p *clockworkPolicy) gather(on *replica, first *request, start protocol.Time, most int, strict bool) int {
	spec := &on.model.spec
	p.members = p.members[:0]
	size, items, due := 0, 0, protocol.Never
	for r := first; r != nil; r = r.next {
		next := spec.Fits(items + r.Batch)
		if next == 0 || next > most && len(p.members) > 0 {
			break
		}
		if len(p.members) > 0 && (r.single() || first.single()) {
			break
		}
		due = min(due, r.deadline)
		if strict && start.Add(on.exec(next)) > due {
			break
		}
		p.members = append(p.members, r)
		size, items = next, items+r.Batch
	}
	if p.Paying && len(p.members) > 1 {
		if pays := on.model.costs[on.gpu.kind].batches.of(items); pays < items {
			size, items = p.drop(on, items, pays)
		}
	}
	return p.trim(on, size, items)
}

// drop removes the last members beyond the items that pay. It returns the batch size and its
// items.
func (p *clockworkPolicy) drop(on *replica, items, pays int) (size, left int) {
	for n := len(p.members); n > 1 && items > pays; n-- {
		items -= p.members[n-1].Batch
		p.members = p.members[:n-1]
	}
	return on.model.spec.Fits(items), items
}

// trim removes the last members of a padded batch if two batches, of the next smaller
// compiled size and of the rest, take less time. It returns the batch size.
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

// fullest selects the largest compiled size that enough waiting requests fill and whose
// execution meets their deadlines, as the original does.
func (p *clockworkPolicy) fullest(on *replica, start protocol.Time) int {
	m := on.model
	sizes := m.spec.BatchSizes
	for i := len(sizes) - 1; i >= 0; i-- {
		size := sizes[i]
		if size > p.longest(on) && i > 0 || size > m.items {
			continue
		}
		p.members = p.members[:0]
		items := 0
		for r := m.head; r != nil && items < size; r = r.next {
			if !r.single() && items+r.Batch <= size && start.Add(on.exec(size)) <= r.deadline {
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

// rest selects the first request that can be in time by itself, padded, if no compiled size
// can be filled.
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
