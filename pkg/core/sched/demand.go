package sched

import (
	"slices"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// Load priorities, after the original (OSDI 2020, section 5.3, and its
// scheduler). With C = Config.DefaultSLO, all in nanoseconds:
//
//	a request adds  exec(1)*C/budget to E, its model's demand for execution,
//	                until it ends, and
//	                exec(1)*C/load budget to W, its demand for a load, until it
//	                begins, ends, or its load budget has passed
//	a GPU g has     O_g, the shares of E it is given, and o_g, those of other
//	                models alone
//	g is given      E * x_g / sum of x over the GPUs that hold the model, with
//	                x_g = C/o_g
//	priority        p = W - sum of W * (x_g/sum x) * (C/O_g)
//
// where the GPUs are those that hold the model or are about to. p > 0 says that
// another copy is worth loading: the demand is more than what the copies can do
// within C. Every step rounds to an integer, so that all machines decide alike.
//
// The original weighs by O_g, which holds the model's own share of a moment before:
// equal copies then swap a large and a small share for ever, one of them looks
// idle, and no third copy is ever worth loading.

// demand is what a request adds to its model's.
type demand struct {
	exec, load int64
	until      protocol.Time // the load budget
	prev, next *request      // in wanted's list of those with load demand
	listed     bool
}

// modelDemand is a model's demand. Requests with load demand are listed in the
// order of arrival; one whose budget passes before those of earlier ones
// counts until theirs have.
type modelDemand struct {
	exec, load     int64
	first, last    *request
	queueEntry     heap.Node[*model] // in lanes.wants, by falling precedence
	waitingForSlot bool              // in clockworkPolicy.waitingForSlot
	spread         protocol.Time     // when it was shared among the copies last
	meanEase       int64             // the mean of C/O then
}

func (w *modelDemand) add(r *request) {
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
func (w *modelDemand) loaded(r *request) {
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
func (w *modelDemand) expire(now protocol.Time) {
	for w.first != nil && w.first.demand.until < now {
		w.loaded(w.first)
	}
}

// hasDemand: requests wait, or were turned away of late because no GPU had it.
func (m *model) hasDemand(now protocol.Time) bool {
	return m.head != nil || now < m.rejectedDemandUntil
}

// unit is x of an idle GPU's fixed point: 1.0.
const unit = 1 << 16

// leastWork is the least outstanding work a GPU is taken to have.
const leastWork = int64(time.Millisecond)

// ease is C/work in fixed point.
func ease(c time.Duration, work int64) int64 { return int64(c) * unit / max(work, leastWork) }

// others is what a copy's GPU has to do for other models.
func (r *replica) others() int64 { return r.gpu.demand - r.share }

// spread shares a model's demand for execution among the GPUs that hold it, and
// returns the mean of C/O weighted by those shares (0 without any copy).
func (m *model) spread(c time.Duration) (mean int64) {
	if len(m.replicas) == 1 && m.replicas[0].serves() {
		r := m.replicas[0]
		r.give(m.demand.exec)
		return ease(c, r.gpu.demand)
	}
	var sum int64
	for _, r := range m.replicas {
		if r.serves() {
			sum += ease(c, r.others())
		}
	}
	if sum == 0 {
		return 0
	}
	for _, r := range m.replicas {
		if r.serves() {
			x := ease(c, r.others())
			r.give(share(m.demand.exec, x, sum))
			mean += share(ease(c, r.gpu.demand), x, sum)
		}
	}
	return mean
}

// serves: the copy takes work, or will once it is there.
func (r *replica) serves() bool { return r.phase <= resident && !r.gpu.stalled }

// hasCopy: some copy serves the model.
func (m *model) hasCopy() bool { return slices.ContainsFunc(m.replicas, (*replica).serves) }

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

// Sharing among many copies takes a look at each, so it is not done anew for
// every request: what the GPUs have to do changes little in spreadFor.
const (
	manyCopies = 8
	spreadFor  = time.Millisecond
)

// priority is p. The shares are of now, or of shortly before.
func (m *model) priority(c time.Duration, now protocol.Time) int64 {
	if len(m.replicas) <= manyCopies || now.Sub(m.demand.spread) >= spreadFor {
		m.demand.spread, m.demand.meanEase = now, m.spread(c)
	}
	return m.demand.load - int64(float64(m.demand.load)*float64(m.demand.meanEase)/unit)
}
