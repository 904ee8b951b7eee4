package startup

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// A worker that a scheduler uses may get a model back that was never measured on its kind of
// GPU. Nothing can be measured beside a scheduler, so the worker begins anew (protocol.Renew): it
// leaves the scheduler with its work done, and comes as a latecomer that holds everything. One
// worker at a time does, once all that came back is there, and only if somebody can measure it.
// As long as it is measured, its GPUs serve nothing: that is worth a model that nobody else
// serves, or else only what others serve meanwhile.

// renewals is the worker that begins anew, or did last.
type renewals struct {
	id string
	// incarnation is the one that was to end, until when it is waited for that the next has
	// joined a scheduler: another worker begins anew afterwards.
	incarnation uint64
	until       protocol.Time
	// look is when it is looked next whether a worker should begin anew: models and workers
	// may be thousands.
	look protocol.Time
}

// renewWait is how long a worker may take to begin anew, to be measured and to join, before
// the next one begins.
const renewWait = 2 * time.Minute

// renew has a worker begin anew if one should.
func (m *Machine) renew() {
	if m.now < m.renewals.look || m.stage != protocol.Active || m.querying || m.profiling.running {
		return
	}
	workers := m.unmeasuredWorkers()
	if len(workers) == 0 {
		return
	}
	m.renewals.look = m.now.Add(m.cfg.LackRetry)
	if m.renewing() || m.Profiler(m.now) != protocol.ProfilerActive {
		return
	}
	for _, w := range workers {
		if !m.worthRenewal(w) {
			continue
		}
		m.renewals.id, m.renewals.incarnation, m.renewals.until = w.id, w.incarnation, m.now.Add(renewWait)
		m.event(protocol.Event{Kind: protocol.EventWorkerWaits, Worker: w.id,
			Message: "it leaves its scheduler to be measured: it holds models again that were not measured on its GPUs"})
		w.queue = append(w.queue, &task{kind: protocol.Renew})
		return
	}
}

// renewing reports whether a worker that was to begin anew has not joined again.
func (m *Machine) renewing() bool {
	r := &m.renewals
	if r.id == "" || m.now >= r.until {
		return false
	}
	w := m.workers[r.id]
	return w == nil || w.incarnation == r.incarnation || !w.joined
}

// unmeasuredWorkers returns the workers that hold models again which were not measured on them,
// and have nothing else to do, sorted by id.
func (m *Machine) unmeasuredWorkers() (workers []*worker) {
	for _, w := range m.workers { // mostly none, so only these are sorted
		if w.unmeasured && w.ready() && !w.waiting && !w.busy() && w.retry.task == nil && len(w.retry.left) == 0 {
			workers = append(workers, w)
		}
	}
	slices.SortFunc(workers, byID)
	return workers
}

// worthRenewal reports whether a worker's time is well spent: it would serve a model that no
// other worker serves, or whatever it serves others serve as well.
func (m *Machine) worthRenewal(w *worker) bool {
	back := slices.DeleteFunc(sortedKeys(w.lacks), func(name string) bool { return !m.heldUnmeasured(w, name) })
	if len(back) == 0 {
		w.unmeasured = false // another of its kind was measured, or it holds them no more
		return false
	}
	if slices.ContainsFunc(back, func(name string) bool { return !m.servable(name) }) {
		return true
	}
	return !slices.ContainsFunc(m.modelNames(), func(name string) bool {
		return m.quarantined[name] == "" && w.serves(name) && !m.servedBeside(w, name)
	})
}

// heldUnmeasured reports whether a worker lacks a model only since it was not measured on it.
func (m *Machine) heldUnmeasured(w *worker, name string) bool {
	accepted, have := w.state.SpecOf(m.models[name]), w.holds[name]
	return m.quarantined[name] == "" && have.Differs(&accepted) == "" && m.unmeasured(name, &w.state) != ""
}

// servedBeside reports whether a worker that has joined a scheduler serves a model, besides one.
func (m *Machine) servedBeside(one *worker, name string) bool {
	for _, w := range m.workers { // in any order: one is enough
		if w != one && w.joined && w.serves(name) {
			return true
		}
	}
	return false
}

// renewed takes the answer to Renew: the next incarnation follows, unless it was refused.
func (m *Machine) renewed(r protocol.Result) {
	if r.Code != protocol.OK {
		m.renewals.id = ""
	}
}
