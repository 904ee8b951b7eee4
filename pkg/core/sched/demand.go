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
//	a GPU g has     O_g, the sum of its shares of all models' E, and o_g, that
//	                sum without this model
//	g's share is    E * x_g / sum of x over the GPUs that hold the model, with
//	                x_g = C/o_g
//	priority        p = W - sum of W * (x_g/sum x) * (C/O_g)
//
// where the GPUs are those that hold the model or are about to. p > 0 means that
// another copy is worth loading: the demand is more than what the copies can serve
// within C. Every step rounds to an integer, so that all machines decide alike.
//
// The original weighs by O_g, which contains the model's own share of a moment before:
// equal copies then swap a large and a small share for ever, one of them looks
// idle, and no third copy is ever worth loading.

// demand is one request's part of its model's demand, in nanoseconds of GPU time scaled
// by C/budget. Only modelDemand and the planner change it.
type demand struct {
	// exec counts until the request ends; load counts while listed.
	exec, load int64
	// until is when the load budget has passed and load no longer counts.
	until protocol.Time
	// prev and next link the requests of the model that are listed.
	prev, next *request
	listed     bool
}

// modelDemand is a model's demand, E and W of the formulas. Requests with load demand are
// listed in the order of arrival. If the load budget of one passes before those of earlier
// ones, its demand counts until theirs have passed.
//
// Invariants: load is the sum over the listed requests, exec the sum over all requests of
// the model that have not ended.
type modelDemand struct {
	exec, load int64
	// first and last are the ends of the list, nil if it is empty.
	first, last *request
	// queueEntry is in clockworkPolicy.loadQueue, keyed by the negative loadRank.
	queueEntry heap.Node[*model]
	// waitingForSlot: the model is in clockworkPolicy.waitingForSlot.
	waitingForSlot bool
	// spread is when exec was last shared among the copies; meanEase is the result of
	// that, in units of `unit`.
	spread   protocol.Time
	meanEase int64
}

// add adds a request's demand and lists the request.
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

// loaded removes r's demand for a load, if it still counts.
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

// expire removes the load demand of requests whose load budget has passed.
func (w *modelDemand) expire(now protocol.Time) {
	for w.first != nil && w.first.demand.until < now {
		w.loaded(w.first)
	}
}

// hasDemand reports whether requests wait for the model, or were recently rejected because
// no GPU had its weights.
func (m *model) hasDemand(now protocol.Time) bool {
	return m.head != nil || now < m.rejectedDemandUntil
}

// unit is 1.0 in the fixed-point numbers of ease.
const unit = 1 << 16

// leastWork is the work of an idle GPU in the formulas, in nanoseconds, so that C/work is
// finite.
const leastWork = int64(time.Millisecond)

// ease returns C/work in fixed point.
func ease(c time.Duration, work int64) int64 { return int64(c) * unit / max(work, leastWork) }

// others returns o_g, the demand of other models on a copy's GPU.
func (r *replica) others() int64 { return r.gpu.demand - r.share }

// spread shares a model's demand for execution among the GPUs that hold it, and returns
// the mean of C/O weighted by those shares, in fixed point (0 without any copy).
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

// serves reports whether a copy gets work, or will get it once it is loaded: pending,
// loading or resident, on a GPU that is not stalled.
func (r *replica) serves() bool { return r.phase <= resident && !r.gpu.stalled }

// hasCopy reports whether some copy serves the model.
func (m *model) hasCopy() bool { return slices.ContainsFunc(m.replicas, (*replica).serves) }

// share returns part/whole of n, in floating point since n times part may exceed an int64.
func share(n, part, whole int64) int64 {
	return int64(float64(n) * float64(part) / float64(whole))
}

// give sets a copy's share of its model's demand for execution.
func (r *replica) give(share int64) {
	r.gpu.demand += share - r.share
	r.share = share
}

// A model with more than manyCopies copies shares its demand at most once in spreadFor,
// because that visits every copy, and the work of the GPUs changes little in that time.
const (
	manyCopies = 8
	spreadFor  = time.Millisecond
)

// priority returns the load priority p, in nanoseconds. The shares may be up to spreadFor
// old.
func (m *model) priority(c time.Duration, now protocol.Time) int64 {
	if len(m.replicas) <= manyCopies || now.Sub(m.demand.spread) >= spreadFor {
		m.demand.spread, m.demand.meanEase = now, m.spread(c)
	}
	return m.demand.load - int64(float64(m.demand.load)*float64(m.demand.meanEase)/unit)
}
