package sched

import (
	"time"

	"clockwork/pkg/heap"
	"clockwork/pkg/protocol"
)

// Load priorities, after the original (OSDI 2020, section 5.3, and its
// scheduler). With C = Config.DefaultSLO, all in nanoseconds:
//
//	a request adds  exec(1)*C/budget to E, its model's demand for execution,
//	                until it ends, and
//	                exec(1)*C/load budget to W, its demand for a load, until it
//	                begins, ends, or its load budget has passed
//	a GPU g has     O_g, the shares of E it is given, and x_g = C/O_g
//	g is given      E * x_g / sum of x over the GPUs that hold the model
//	priority        p = W - sum of W * (x_g/sum x) * (C/O_g)
//
// where the GPUs are those that hold the model or are about to. p > 0 says that
// another copy is worth loading: the demand is more than what the copies can do
// within C. Every step rounds to an integer, so that all machines decide alike.

// demand is what a request adds to its model's.
type demand struct {
	exec, load int64
	until      protocol.Time // the load budget
	prev, next *request      // in wanted's list of those with load demand
	listed     bool
}

// wanted is a model's demand. Requests with load demand are listed in the
// order of arrival; one whose budget passes before those of earlier ones
// counts until theirs have.
type wanted struct {
	exec, load  int64
	first, last *request
	place       heap.Node[*model] // in lanes.wants, by falling priority
}

func (w *wanted) add(r *request) {
	w.exec += r.demand.exec
	w.load += r.demand.load
	r.demand.listed = true
	r.demand.prev = w.last
	if w.last == nil {
		w.first = r
	} else {
		w.last.demand.next = r
	}
	w.last = r
}

// loaded takes r's demand for a load away.
func (w *wanted) loaded(r *request) {
	d := &r.demand
	if !d.listed {
		return
	}
	w.load -= d.load
	if d.prev == nil {
		w.first = d.next
	} else {
		d.prev.demand.next = d.next
	}
	if d.next == nil {
		w.last = d.prev
	} else {
		d.next.demand.prev = d.prev
	}
	d.prev, d.next, d.listed = nil, nil, false
}

// expire takes away the demand of those whose load budget has passed.
func (w *wanted) expire(now protocol.Time) {
	for w.first != nil && w.first.demand.until < now {
		w.loaded(w.first)
	}
}

// unit is x of an idle GPU's fixed point: 1.0.
const unit = 1 << 16

// leastWork is the least outstanding work a GPU is taken to have.
const leastWork = int64(time.Millisecond)

// ease is x_g, C/O_g in fixed point.
func (g *gpu) ease(c time.Duration) int64 { return int64(c) * unit / max(g.demand, leastWork) }

// spread shares a model's demand for execution among the GPUs that hold it,
// and returns the mean of x weighted by those shares (0 without any copy).
func (m *model) spread(c time.Duration) (ease int64) {
	if len(m.replicas) == 1 && m.replicas[0].serves() {
		r := m.replicas[0]
		r.give(m.wanted.exec)
		return r.gpu.ease(c)
	}
	var sum, squares int64
	for _, r := range m.replicas {
		if r.serves() {
			x := r.gpu.ease(c)
			sum += x
			squares += x * x / unit
		}
	}
	if sum == 0 {
		return 0
	}
	for _, r := range m.replicas {
		if r.serves() {
			r.give(share(m.wanted.exec, r.gpu.ease(c), sum))
		}
	}
	return squares * unit / sum
}

// serves: the copy takes work, or will once it is there.
func (r *replica) serves() bool { return r.phase <= resident && !r.gpu.mute }

// share is part/whole of n. A model's demand is far below 2^63/2^24 while a
// part may be up to 100 times the unit.
func share(n, part, whole int64) int64 {
	return int64(float64(n) * float64(part) / float64(whole))
}

// give sets a copy's share of its model's demand.
func (r *replica) give(share int64) {
	r.gpu.demand += share - r.share
	r.share = share
}

// priority is p for the present shares.
func (m *model) priority(c time.Duration) int64 {
	ease := m.spread(c)
	return m.wanted.load - int64(float64(m.wanted.load)*float64(ease)/unit)
}
