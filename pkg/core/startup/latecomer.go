package startup

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// A latecomer is a worker that arrives in ACTIVE with a GPU type that was never
// measured. A profiling job measures it alone; then it joins the scheduler.

// latecomers returns the workers to measure in ACTIVE, sorted by id.
func (m *Machine) latecomers() []protocol.WorkerState {
	var list []protocol.WorkerState
	for _, w := range m.sorted() {
		if !m.measurable(w) {
			continue
		}
		if state := w.snapshot(); !m.plannable(state) {
			list = append(list, state)
		}
	}
	return list
}

// measurable reports whether a worker's GPUs may be measured in ACTIVE: no
// scheduler can be using them. A worker that obeyed an epoch, or that was
// present when this machine started in ACTIVE, may be in use by a scheduler that
// another controller activated, unless this machine is activating or has
// activated one itself, or the worker has obeyed none for long.
func (m *Machine) measurable(w *worker) bool {
	ours := m.activation.running || m.activation.kinds != nil
	return w.ready() && !w.waiting && !w.joined && w.state.Epoch == 0 && (!w.found || ours)
}

// find notes of a worker that has answered whether a scheduler of an earlier controller may be
// using it. A scheduler asks a worker that joins at once, and has it obey its epoch by that: who
// obeys none after foundFor is in nobody's hands.
func (m *Machine) find(w *worker) {
	switch {
	case m.querying && m.stage == protocol.Active:
		w.found, w.foundUntil = true, m.now.Add(foundFor)
	case w.found && m.now >= w.foundUntil:
		w.found = false
	}
	if !w.found || w.state.Epoch != 0 {
		w.foundUntil = protocol.Never
	}
}

// foundFor is how long a scheduler has for its first word to a worker that an earlier
// controller had join.
const foundFor = 10 * time.Second

// askFound asks found workers again that cannot join before they are measured.
func (m *Machine) askFound() {
	for _, w := range m.sorted() {
		if m.now >= w.foundUntil && w.ready() && !w.waiting && !w.joined && !m.plannable(w.snapshot()) {
			m.query(w)
		}
	}
}

// latecomersMeasured queries the measured latecomers, so that they join once their state is
// fresh. What could not be measured on one of them is not served by it.
func (m *Machine) latecomersMeasured(quarantined []Quarantine) {
	for _, o := range m.profiling.order.Workers {
		w := m.workers[o.ID]
		for _, model := range m.served() {
			if t := m.unmeasured(model.Name, &o); t != "" && w.serves(model.Name) {
				m.lack(w, []string{model.Name}, &protocol.WorkerError{Worker: w.id, Code: protocol.ModelUnavailable,
					Message: fmt.Sprintf("cannot be measured on %s: %s", t, m.flaw(model, []protocol.WorkerState{o}, quarantined))})
			}
		}
		m.query(w)
	}
}

// explain emits worker_waits, once per reason, for each ready worker that does
// not join. One that can never be measured joins without what was not.
func (m *Machine) explain() {
	for _, w := range m.sorted() {
		if w.joined || !w.ready() || w.waiting {
			continue
		}
		name, t := m.lacking(w.snapshot())
		if name == "" {
			continue
		}
		if w.state.Epoch != 0 {
			m.lackUnmeasured(w, slices.DeleteFunc(slices.Clone(m.modelNames()), func(n string) bool { return m.quarantined[n] != "" || !w.serves(n) }))
			continue
		}
		why := fmt.Sprintf("%s has no complete profile on %s; ", name, t)
		if m.measurable(w) {
			why += "it is measured first"
		} else {
			why += "it is measured once no scheduler can be using the worker"
		}
		if why != w.kept {
			w.kept = why
			m.event(protocol.Event{Kind: protocol.EventWorkerWaits, Worker: w.id, Message: why})
		}
	}
}

// lacking returns the first served model that a worker serves without a complete profile on
// one of its GPU types, and that type; empty strings if there is none.
func (m *Machine) lacking(s protocol.WorkerState) (name, gpuType string) {
	types := gpuTypes([]protocol.WorkerState{s})
	known := map[string]string{} // by digest: copies are thousands
	for _, name := range m.modelNames() {
		if m.quarantined[name] != "" || s.Lacking(name) {
			continue
		}
		spec := m.models[name]
		t, checked := known[spec.Digest]
		if !checked {
			t = m.unprofiled(s.SpecOf(spec), types)
			known[spec.Digest] = t
		}
		if t != "" {
			return name, t
		}
	}
	return "", ""
}

// unmeasured returns the first of a worker's GPU types without a complete profile of an
// accepted model, "" if there is none.
func (m *Machine) unmeasured(name string, s *protocol.WorkerState) string {
	return m.unprofiled(s.SpecOf(m.models[name]), gpuTypes([]protocol.WorkerState{*s}))
}

// unprofiled returns the first of these GPU types without a complete profile of a model.
func (m *Machine) unprofiled(spec protocol.ModelSpec, types []string) string {
	for _, t := range types {
		if !m.profiled(spec, t) {
			return t
		}
	}
	return ""
}

// plannable reports whether every served model of a worker has a complete profile on each
// of its GPU types.
func (m *Machine) plannable(s protocol.WorkerState) bool {
	name, _ := m.lacking(s)
	return name == ""
}

// unannounced returns the profiles that the scheduler needs when a worker joins: those that
// came after the last Activate, and all of kinds of GPUs that were not in it. A worker that
// obeyed an epoch brought those when it joined before.
func (m *Machine) unannounced(s protocol.WorkerState) []protocol.Profile {
	kinds := kindsOf([]protocol.WorkerState{s})
	whole := s.Epoch == 0 && slices.ContainsFunc(kinds, func(k kind) bool { return !m.activation.kinds[k] })
	if !whole && len(m.activation.fresh) == 0 {
		return nil // return early: there may be thousands of models
	}
	return slices.DeleteFunc(m.known(m.served(), []protocol.WorkerState{s}), func(p protocol.Profile) bool {
		ofType := func(k kind) bool { return k.gpuType == p.GPUType }
		return !slices.ContainsFunc(kinds, ofType) || !whole && !m.activation.fresh[p.Key()]
	})
}
