package explain

import (
	"time"

	"clockwork/pkg/protocol"
)

// view is how things stood for a request at a time.
type view struct {
	at         protocol.Time
	exec, load time.Duration // alone, on the fastest GPU
	ahead      int           // requests of its model that waited
	gpus       int           // that can hold the model
	resident   int           // that held it
	// lane is the execution lane that would have begun it first, among those
	// with the model, if any.
	lane busy
	// loading is the transfer of its own weights that was to end first, and
	// transfer the transfer lane that was free first.
	loading, transfer busy
}

// busy is a lane that is free a while from then: behind the first of the open
// actions, of With.
type busy struct {
	on   *gpu
	left time.Duration
	open int
	with string
}

func (m *mirror) view(r *request) view {
	m.forget()
	of := r.model
	v := view{at: m.now, ahead: of.waiting}
	if !of.known || r.size == 0 {
		return v
	}
	m.homesOf(of)
	v.gpus = of.homes
	for i, kind := range of.kinds {
		if exec := m.cost(of, kind, r.size).Value(); i == 0 || exec < v.exec {
			v.exec, v.load = exec, m.cost(of, kind, 0).Value()
		}
	}
	v.resident, v.lane = len(of.holders), m.soonest(of)
	for _, a := range of.coming {
		v.loading.sooner(busy{on: a.gpu, left: max(0, m.until(&a.gpu.transfers, a).Sub(m.now)), with: r.Model, open: 1})
	}
	if v.resident == 0 && v.loading.on == nil {
		m.firstTransfer(&v, of)
	}
	return v
}

// manyHolders is from how many on a look at all of them costs more than the rest of
// following a request.
const manyHolders = 8

// soonest is the execution lane that would begin a model's next request first, as it
// was at most a glance ago where there are many.
func (m *mirror) soonest(of *model) busy {
	if len(of.holders) > manyHolders && of.seen.on != nil && m.now.Sub(of.seenAt) < m.glance {
		return of.seen
	}
	of.seen, of.seenAt = busy{}, m.now
	for _, g := range of.holders {
		of.seen.sooner(m.busy(g, &g.execs))
	}
	return of.seen
}

// firstTransfer looks for the transfer lane that is free first.
func (m *mirror) firstTransfer(v *view, of *model) {
	for _, g := range m.gpus {
		if of.spec.Pages <= g.pages {
			v.transfer.sooner(m.busy(g, &g.transfers))
		}
	}
}

func (m *mirror) busy(g *gpu, l *lane) busy {
	b := busy{on: g, left: l.free(m.now).Sub(m.now), open: len(l.open)}
	if b.open > 0 {
		b.with = l.open[0].model.name
	}
	return b
}

// sooner takes the lane that is free first, of equal ones that of the first GPU.
func (b *busy) sooner(than busy) {
	if b.on == nil || than.left < b.left || than.left == b.left && than.on.place < b.on.place {
		*b = than
	}
}

// until is when an open action is to end.
func (m *mirror) until(l *lane, of *action) protocol.Time {
	at := l.freed
	for _, a := range l.open {
		at = max(max(at, a.there).Add(a.expected), m.now)
		if a == of {
			break
		}
	}
	return at
}

// target is how long after its arrival the policy wants a request done.
func (m *mirror) target(budget time.Duration) time.Duration {
	switch m.policy {
	case "simple", "echo":
		return budget
	case "faithful":
		return min(budget, max(budget-m.config.Buffer, m.config.Ahead+m.config.Buffer))
	}
	return budget - min(m.config.Buffer, budget/20)
}

// slo is the least SLO, in whole milliseconds, with which a request that needs
// so long at the scheduler is done in time.
func (m *mirror) slo(r *request, need time.Duration) time.Duration {
	budget := need
	for m.target(budget) < need && budget < need+m.config.Buffer {
		budget += 100 * time.Microsecond
	}
	whole := r.Elapsed + budget + time.Millisecond - 1
	return whole - whole%time.Millisecond
}

// fits: done so long after its arrival, a request is in time for the policy.
func (m *mirror) fits(r *request, need time.Duration) bool { return need <= m.target(r.Budget) }

// work is what a lane did in a span of time.
type work struct {
	actions, own int
	all, ownTime time.Duration
	most         string
	mostTime     time.Duration
	slowest      *action
	slowestBy    time.Duration
	models       int
}

// work sums what a lane did for a request's model and for others.
func (m *mirror) work(l *lane, model string, from, to protocol.Time) work {
	var w work
	by := map[string]time.Duration{}
	for i := len(l.done) - 1; i >= 0 && l.done[i].closed >= from; i-- {
		a := l.done[i]
		span := min(a.end, to).Sub(max(a.begin, from))
		if a.end < from || a.begin > to || span < 0 {
			continue
		}
		w.add(a, span, model, by)
	}
	for _, a := range l.open {
		if began := max(l.freed, a.there); began < to {
			w.add(a, to.Sub(max(began, from)), model, by)
			break // only the first can be under way
		}
	}
	for _, name := range sortedKeys(by) {
		if by[name] > w.mostTime {
			w.most, w.mostTime = name, by[name]
		}
	}
	w.models = len(by)
	return w
}

func (w *work) add(a *action, span time.Duration, model string, by map[string]time.Duration) {
	w.actions++
	w.all += span
	if by2 := a.end.Sub(a.begin) - a.expected; a.code == protocol.OK && by2 > w.slowestBy {
		w.slowest, w.slowestBy = a, by2
	}
	if a.model.name == model {
		w.own++
		w.ownTime += span
		return
	}
	by[a.model.name] += span
}
