package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// An execution cannot be interrupted. While a long one runs, requests of models with
// tighter deadlines wait, and more arrive. Those that miss their deadlines because of it
// are its cost: before a long execution starts, they are counted among the requests that
// wait, and estimated for those to be expected, by each model's recent rate and tightest
// budget. The most urgent batch is then not always the one to run; and where a long one
// would cost more requests than it serves, the GPU rather waits.

// tightModels is how many models of a GPU, those with the tightest budgets, are considered
// in the cost of a long execution.
const tightModels = 16

// keptFree is for how long a GPU waits, if nothing happens, before a long execution is
// considered again. Rates fall while no requests arrive.
const keptFree = 10 * time.Millisecond

// arrivalRate is how often requests arrive.
type arrivalRate struct {
	// interval is the mean time between two arrivals: of the first known, then an EWMA with
	// weight 1/16. intervals counts them, up to known. at is the last arrival, 0 for none.
	interval  time.Duration
	intervals int
	at        protocol.Time
}

// known is how many intervals make a rate: fewer say nothing about what is to be expected.
const known = 16

// note adds an arrival.
func (a *arrivalRate) note(now protocol.Time) {
	switch {
	case a.intervals == known:
		a.interval += (now.Sub(a.at) - a.interval) / known
	case a.at != 0:
		a.intervals++
		a.interval += (now.Sub(a.at) - a.interval) / time.Duration(a.intervals)
	}
	a.at = now
}

// busy returns the share of time that the arrivals take if each takes as long, at most
// mostBusy: no more than that can be served beside anything else. A pause is no sign of a
// lower rate until it is eight times as long as an interval.
func (a *arrivalRate) busy(now protocol.Time, takes time.Duration) float64 {
	if a.intervals < known {
		return 0
	}
	return min(mostBusy, float64(takes)/float64(max(1, a.interval, now.Sub(a.at)/8)))
}

const mostBusy = 0.9

// budgetRange is the range of all recent budgets: of the present budgetMemory, which began at
// since, and of the one before.
type budgetRange struct {
	now, before struct{ least, most time.Duration }
	since       protocol.Time
}

// note adds a budget.
func (b *budgetRange) note(budget time.Duration, now protocol.Time) {
	if b.since == 0 || now.Sub(b.since) > budgetMemory {
		b.before, b.since = b.now, now
		b.now.least, b.now.most = budget, budget
	}
	b.now.least, b.now.most = min(b.now.least, budget), max(b.now.most, budget)
}

// differ reports whether any budget is much tighter than another.
func (b *budgetRange) differ() bool {
	least := b.now.least
	if b.before.least > 0 {
		least = min(least, b.before.least)
	}
	return muchLess(least, max(b.now.most, b.before.most))
}

// muchLess reports whether a budget is so much less than another that the other is planned
// after it.
func muchLess(budget, than time.Duration) bool { return budget < than-than/4 }

// blocking reports whether a copy's execution would block models with tighter budgets.
func (p *clockworkPolicy) blocking(r *replica) bool {
	if !p.Bounded || !p.budgets.differ() {
		return false
	}
	p.refreshTight(r.gpu)
	return len(r.gpu.tight) > 0 && r.gpu.tight[0].tighter(r) && p.long(r, r.gpu.tight[0])
}

// long reports whether a copy's execution takes so much of the time that requests of a tighter
// model can wait that it may cost them their deadlines: a quarter. What is shorter delays them
// no more than another one of their own.
func (p *clockworkPolicy) long(r, tight *replica) bool {
	size := 1
	if m := r.model; m.head != nil {
		size = p.likely(r)
	}
	return 4*r.exec(size) > tight.model.minBudget.budget-tight.exec(1)
}

// refreshTight computes gpuPlan.tight. It visits every model of the GPU, so it runs at
// most once in slackEvery, and less often for many.
func (p *clockworkPolicy) refreshTight(g *gpu) {
	every := max(slackEvery, time.Duration(len(g.replicas))*time.Millisecond)
	if g.tightAt != 0 && p.now.Sub(g.tightAt) < every {
		return
	}
	g.tightAt, g.tight = p.now, g.tight[:0]
	for _, r := range g.replicas {
		if r.phase != resident || !r.model.minBudget.recent(p.now) {
			continue
		}
		at, _ := slices.BinarySearchFunc(g.tight, r.model.minBudget.budget, func(t *replica, budget time.Duration) int {
			return int(t.model.minBudget.budget - budget - 1) // behind those with the same
		})
		if at == tightModels {
			continue
		}
		if len(g.tight) == tightModels {
			g.tight = g.tight[:tightModels-1]
		}
		g.tight = slices.Insert(g.tight, at, r)
	}
}

// blocks returns how many requests of models with tighter budgets would be lost if a copy
// executed for so long from start on.
func (p *clockworkPolicy) blocks(r *replica, start protocol.Time, takes time.Duration) (lost float64) {
	if !p.blocking(r) {
		return 0
	}
	g := r.gpu
	end, busy := start.Add(takes), 0.0
	for _, t := range g.tight {
		m := t.model
		if !t.tighter(r) {
			break
		}
		if t.phase != resident || m == r.model {
			continue
		}
		free := p.freeElsewhere(t, end)
		missed, done := p.delayed(t, start, free)
		lost += float64(missed)
		if free == end {
			end = done
		}
		exec := t.exec(1)
		rate := m.arrivals.busy(p.now, exec)
		busy = min(mostBusy, busy+rate)
		if over := done.Sub(p.now) + exec - p.target(m.minBudget.budget, m.wayBack); over > 0 {
			lost += rate * float64(over) / float64(exec) / (1 - busy)
		}
	}
	return lost
}

// tighterLoad returns the share of a GPU's time that models with tighter budgets than a copy's
// are expected to take.
func (p *clockworkPolicy) tighterLoad(r *replica) (busy float64) {
	for _, t := range r.gpu.tight {
		if !t.tighter(r) {
			break
		}
		if t.phase == resident {
			busy += t.model.arrivals.busy(p.now, t.exec(1)) / float64(len(t.model.holders))
		}
	}
	return min(busy, mostBusy)
}

// tighter reports whether a copy's model has a much tighter budget than another's.
func (r *replica) tighter(than *replica) bool {
	return muchLess(r.model.minBudget.budget, than.model.minBudget.budget)
}

// delayed returns how many items of waiting requests of a copy's model would be in time if the GPU
// began with them at start, but not if it begins at end, and when it is done with the
// others then.
func (p *clockworkPolicy) delayed(t *replica, start, end protocol.Time) (lost int, done protocol.Time) {
	m := t.model
	if m.head == nil {
		return 0, end
	}
	size := p.likely(t)
	each := t.exec(size) / time.Duration(size)
	seen := 0
	for r := m.head; r != nil && seen < considered; r, seen = r.next, seen+1 {
		takes := each * time.Duration(r.Batch)
		switch {
		case end.Add(takes) <= r.deadline:
			start, end = start.Add(takes), end.Add(takes)
		case start.Add(takes) <= r.deadline:
			start = start.Add(takes)
			lost += r.Batch
		}
	}
	return lost, end
}

// freeElsewhere returns when the first other GPU with the model is free, at most end.
func (p *clockworkPolicy) freeElsewhere(t *replica, end protocol.Time) protocol.Time {
	for _, h := range t.model.holders[:min(len(t.model.holders), tightModels)] {
		if h != t && !h.gpu.stalled {
			end = min(end, p.start(h.gpu, t.nextInputs()))
		}
	}
	return end
}
