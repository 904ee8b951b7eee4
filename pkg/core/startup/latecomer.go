package startup

import (
	"fmt"
	"slices"

	"clockwork/pkg/protocol"
)

// A latecomer is a worker that comes in ACTIVE with a type of GPU that was
// never measured. It is measured like the others were, alone, and joins the
// scheduler then.

// latecomers returns the workers to measure in ACTIVE.
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
// scheduler can have them. One that obeyed an epoch, or that stood there when
// this machine began in ACTIVE, may be in use by a scheduler that another
// controller activated, unless this one activates or activated one itself.
func (m *Machine) measurable(w *worker) bool {
	ours := m.activation.running || m.activation.types != nil
	return w.ready() && !w.waiting && !w.joined && w.unfit == "" && w.state.Epoch == 0 && (!w.found || ours)
}

// latecomersMeasured lets those join that can be planned with now, once their
// state is known anew; the others stay out for this life.
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

// explain tells, once for each reason, why a ready worker does not join.
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

// lacking returns the first served model without a complete profile on one of
// a worker's types of GPU, and that type; nothing when there is none.
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

func (m *Machine) plannable(s protocol.WorkerState) bool {
	name, _ := m.lacking(s)
	return name == ""
}

// untold returns the profiles that a worker has to bring along when it joins:
// those of types that no worker had when the scheduler was activated. A
// worker that obeyed an epoch brought them before.
func (m *Machine) untold(s protocol.WorkerState) []protocol.Profile {
	types := slices.DeleteFunc(gpuTypes([]protocol.WorkerState{s}), func(t string) bool { return m.activation.types[t] })
	if len(types) == 0 || s.Epoch != 0 {
		return nil
	}
	return slices.DeleteFunc(m.known(m.served()), func(p protocol.Profile) bool { return !slices.Contains(types, p.GPUType) })
}
