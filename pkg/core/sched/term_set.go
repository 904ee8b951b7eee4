package sched

import (
	"maps"
	"slices"

	"clockwork/pkg/protocol"
)

// startAgain takes a further start of the epoch. One with a higher number of its set replaces
// the models. Otherwise it is a repeated start, which may name workers whose announcements
// were lost. Other models under a name or a number that is served mean that the store was lost
// and the stack started again; the term resigns, and the next one serves them.
func (t *Term) startAgain(state protocol.ClockworkState) {
	if state.Set < t.set {
		return // of before the switch
	}
	if state.Set > t.set {
		if added, same := t.added(state.Models); same {
			t.switchSet(state, added)
		}
	}
	if !sameModels(t.models, state.Models) {
		t.resign("the stack serves other models now")
		return
	}
	for _, w := range state.Workers {
		t.expect(joiner{WorkerState: w})
	}
	t.admit()
}

// sameModels compares by name and digest; both are ordered by name.
func sameModels(a, b []protocol.ModelSpec) bool {
	return slices.EqualFunc(a, b, func(a, b protocol.ModelSpec) bool { return a.Name == b.Name && a.Digest == b.Digest })
}

// added returns what another set has besides the present models, as what a worker lacks that is
// not known to hold it; false if a model of both has another digest.
func (t *Term) added(to []protocol.ModelSpec) (lacks []protocol.Lack, same bool) {
	served := make(map[string]string, len(t.models))
	for i := range t.models {
		served[t.models[i].Name] = t.models[i].Digest
	}
	for i := range to {
		digest, both := served[to[i].Name]
		switch {
		case !both:
			lacks = append(lacks, protocol.Lack{Model: to[i].Name, Code: protocol.UnknownModel})
		case digest != to[i].Digest:
			return nil, false
		}
	}
	return lacks, true
}

// switchSet replaces the models. The core is told in the same step what each member serves of
// the new set: what the state says that it lacks or, for a member that is not in the state,
// what it lacked and whatever is added.
func (t *Term) switchSet(state protocol.ClockworkState, added []protocol.Lack) {
	t.set, t.models = state.Set, state.Models
	t.note(Note{Kind: NoteSetSwitched, Count: len(t.models), Set: t.set})
	named := make(map[string]*protocol.WorkerState, len(state.Workers))
	for i := range state.Workers {
		named[state.Workers[i].ID] = &state.Workers[i]
	}
	lacks := func(id string, incarnation uint64, before []protocol.Lack) []protocol.Lack {
		if w := named[id]; w != nil && w.Incarnation == incarnation {
			return w.Lacks
		}
		return append(slices.Clone(before), added...)
	}
	members := make([]protocol.WorkerState, 0, len(t.workers.members))
	for _, id := range slices.Sorted(maps.Keys(t.workers.members)) {
		w := protocol.WorkerState{ID: id, Incarnation: t.workers.members[id]}
		w.Lacks = lacks(id, w.Incarnation, t.workers.lacks[id])
		t.workers.lacks[id] = w.Lacks
		w.Models = t.hosted(&w)
		members = append(members, w)
	}
	for _, waiting := range []map[string]joiner{t.workers.joining, t.workers.early} {
		for id, w := range waiting { // map order does not matter: each for itself
			w.Lacks = lacks(id, w.Incarnation, w.Lacks)
			waiting[id] = w
		}
	}
	state.Workers, state.Term = members, 0
	t.decide(&SetSwitched{State: state})
}
