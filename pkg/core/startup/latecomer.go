package startup

import (
	"fmt"
	"slices"

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
		if state := w.snapshot(m.isModel); !m.plannable(state) {
			list = append(list, state)
		}
	}
	return list
}

// measurable reports whether a worker's GPUs may be measured in ACTIVE: no
// scheduler can be using them. A worker that obeyed an epoch, or that was
// present when this machine started in ACTIVE, may be in use by a scheduler that
// another controller activated, unless this machine is activating or has
// activated one itself.
func (m *Machine) measurable(w *worker) bool {
	ours := m.activation.running || m.activation.types != nil
	return w.ready() && !w.waiting && !w.joined && w.unfit == "" && w.state.Epoch == 0 && (!w.found || ours)
}

// latecomersMeasured queries the measured latecomers that can be planned now, so
// that they join once their state is fresh. The others stay out for this
// incarnation.
func (m *Machine) latecomersMeasured(quarantined []Quarantine) {
	for _, o := range m.profiling.order.Workers {
		w := m.workers[o.ID]
		if m.plannable(o) {
			m.query(w)
			continue
		}
		types := gpuTypes([]protocol.WorkerState{o})
		name, t := m.lacking(o)
		w.unfit = fmt.Sprintf("%s cannot be measured on %s: %s", name, t, m.flaw(m.models[name], types, quarantined))
	}
}

// explain emits worker_lost, once per reason, for each ready worker that does
// not join.
func (m *Machine) explain() {
	for _, w := range m.sorted() {
		if w.joined || !w.ready() || w.waiting {
			continue
		}
		name, t := m.lacking(w.state)
		if name == "" {
			continue
		}
		why := w.unfit
		if why == "" {
			why = fmt.Sprintf("%s has no complete profile on %s", name, t)
		}
		if m.measurable(w) {
			why += "; it is being measured"
		}
		if why = "kept from the scheduler: " + why; why != w.kept {
			w.kept = why
			m.event(protocol.Event{Kind: protocol.EventWorkerLost, Worker: w.id, Message: why})
		}
	}
}

// lacking returns the first served model without a complete profile on one of a
// worker's GPU types, and that type; empty strings if there is none.
func (m *Machine) lacking(s protocol.WorkerState) (name, gpuType string) {
	types := gpuTypes([]protocol.WorkerState{s})
	for _, model := range m.served() {
		for _, t := range types {
			if !m.profiled(model, t) {
				return model.Name, t
			}
		}
	}
	return "", ""
}

// plannable reports whether every served model has a complete profile on each of a
// worker's GPU types.
func (m *Machine) plannable(s protocol.WorkerState) bool {
	name, _ := m.lacking(s)
	return name == ""
}

// unannounced returns the profiles that the scheduler needs when a worker joins:
// those of GPU types that were not in the last Activate. A worker that obeyed an
// epoch needs none: its profiles were sent when it joined before.
func (m *Machine) unannounced(s protocol.WorkerState) []protocol.Profile {
	types := slices.DeleteFunc(gpuTypes([]protocol.WorkerState{s}), func(t string) bool { return m.activation.types[t] })
	if len(types) == 0 || s.Epoch != 0 {
		return nil
	}
	return slices.DeleteFunc(m.known(m.served()), func(p protocol.Profile) bool { return !slices.Contains(types, p.GPUType) })
}
