package startup

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// A worker that cannot have an accepted model lacks it, and serves the others. Its load is
// repeated, since what was missing may be put back. A load in which nothing changed costs
// the worker little, but is not free: the pauses grow.

// retry is the repetition of the loads of what a worker lacks, in rounds.
type retry struct {
	// at is when the next round begins, Never if there is nothing to repeat. Ignored during a
	// round.
	at protocol.Time
	// pause is the interval that led to at; 0 if the worker has regained a model since.
	pause time.Duration
	// left are the loads of this round that are still to be sent, task the one that is.
	left []*task
	task *task
}

// serves reports whether a ready worker serves an accepted model.
func (w *worker) serves(name string) bool {
	_, lacks := w.lacks[name]
	return !lacks
}

// snapshot returns the worker's state with what it lacks, instead of the thousands of models
// that it holds: it holds all others.
func (w *worker) snapshot() protocol.WorkerState {
	s := w.state
	s.Models, s.Lacks = nil, nil
	for _, name := range sortedKeys(w.lacks) {
		s.Lacks = append(s.Lacks, protocol.Lack{Model: name, Code: w.lacks[name].Code, Message: w.lacks[name].Message})
	}
	return s
}

// lack notes that a worker does not serve accepted models, and tells who looks, unless that
// was told already. A scheduler that has the worker gets it once more, without them.
func (m *Machine) lack(w *worker, names []string, why *protocol.WorkerError) {
	var noted []string
	for _, n := range names {
		if !m.isModel(n) {
			continue
		}
		before, lacked := w.lacks[n]
		w.lacks[n] = protocol.WorkerError{Worker: why.Worker, Code: why.Code, Message: protocol.ShortText(why.Message, protocol.MaxText)}
		w.joined = w.joined && lacked
		if before.Code != why.Code {
			noted = append(noted, n)
		}
		if !lacked {
			w.retry.pause = m.cfg.LackRetry
		}
		if !lacked || w.retry.at == protocol.Never { // Never: its load was under way when the last round began
			w.retry.at = min(w.retry.at, m.now.Add(max(w.retry.pause, m.cfg.LackRetry)))
		}
	}
	if len(noted) > 0 {
		m.event(protocol.Event{Kind: protocol.EventModelMissing, Worker: w.id, Model: noted[0], Total: len(noted), Code: why.Code, Message: why.Message})
	}
}

// lackUnmeasured notes which of the models that a worker holds have no complete profile on its
// GPUs, and returns the others. A scheduler may be using the worker, so nothing can be
// measured there until it begins anew.
func (m *Machine) lackUnmeasured(w *worker, names []string) (measured []string) {
	unmeasured := map[string][]string{} // by type of GPU
	for _, n := range names {
		if t := m.unmeasured(n, &w.state); t != "" {
			unmeasured[t] = append(unmeasured[t], n)
		} else {
			measured = append(measured, n)
		}
	}
	w.unmeasured = w.unmeasured || len(unmeasured) > 0
	for _, t := range sortedKeys(unmeasured) {
		m.lack(w, unmeasured[t], &protocol.WorkerError{Worker: w.id, Code: protocol.ModelUnavailable,
			Message: "held, but not measured on " + t + " before a scheduler used the worker; it is measured when the worker begins anew"})
	}
	return measured
}

// regain notes that a worker holds accepted models that it lacked. Loads are judged by a
// worker that lacks nothing any more.
func (m *Machine) regain(w *worker, names []string) {
	back := slices.DeleteFunc(slices.Clone(names), w.serves)
	if m.stage == protocol.Active {
		back = m.lackUnmeasured(w, back)
	}
	if len(back) == 0 {
		return
	}
	for _, n := range back {
		delete(w.lacks, n)
	}
	w.joined, w.retry.pause = false, 0
	m.event(protocol.Event{Kind: protocol.EventModelBack, Worker: w.id, Model: back[0], Total: len(back)})
	if len(w.lacks) > 0 {
		return
	}
	for _, l := range m.loads {
		if l.storing == 0 {
			m.assign(l, w)
		}
	}
}

// regainMeasured has workers serve what they lacked only for want of a profile, after there
// were new ones.
func (m *Machine) regainMeasured() {
	for _, w := range m.sorted() {
		var measured []string
		for _, n := range sortedKeys(w.lacks) {
			accepted, have := w.state.SpecOf(m.models[n]), w.holds[n]
			if have.Differs(&accepted) == "" && m.unmeasured(n, &w.state) == "" {
				measured = append(measured, n)
			}
		}
		m.regain(w, measured)
	}
}

// retryLacks repeats the loads of what workers lack, one at a time, and only while the worker
// has nothing else to do: it holds up no load.
func (m *Machine) retryLacks() {
	if m.querying {
		return
	}
	for _, w := range m.sorted() {
		r := &w.retry
		if !w.answered || r.task != nil || w.busy() {
			continue
		}
		if len(r.left) == 0 && m.now >= r.at {
			m.beginRetry(w)
		}
		if len(r.left) > 0 {
			r.task, r.left = r.left[0], r.left[1:]
			m.clear(w, w.holding(r.task.names))
			w.queue = append(w.queue, r.task)
		}
	}
}

// beginRetry begins a round with everything that a worker lacks and does not hold. What it is
// still loading ends by itself.
func (m *Machine) beginRetry(w *worker) {
	r := &w.retry
	r.at = protocol.Never
	loading := map[string]bool{}
	for _, t := range w.out {
		for _, n := range t.names {
			loading[n] = true
		}
	}
	for _, s := range m.missing(w, func(name string) bool { return !w.serves(name) && !loading[name] }) {
		for part := range m.parts(s.names) {
			r.left = append(r.left, &task{kind: protocol.LoadModelFromDisk, path: s.path, names: slices.Clone(part), pinned: s.pinned, catchup: true, late: true})
		}
	}
}

// retried ends a task of a round, and the round if it was the last: the next follows after
// twice the pause, or soon if this one brought something.
func (m *Machine) retried(w *worker) {
	r := &w.retry
	r.task = nil
	if len(r.left) == 0 {
		r.pause = min(max(2*r.pause, m.cfg.LackRetry), m.cfg.MaxLackRetry)
		r.at = m.now.Add(r.pause)
	}
}
