package sched

import (
	"math/rand/v2"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// A switching world is one of the seeds from switchedFrom on: a crowded one whose set of models
// is replaced from time to time. Models come that were never there, leave while they wait, load,
// execute or are evicted, and return.
const switchedFrom = 2001

// modelSets is what a switching world knows of its sets. Elsewhere every model is present.
type modelSets struct {
	dice   *rand.Rand
	number uint64
	// absent are the models that are not of the present set, by name. left are those of them
	// that were of an earlier one.
	absent, left map[string]bool
	// apart are workers that the last switch did not tell of, and that have not joined since.
	apart    map[string]bool
	switches int
}

func newModelSets(seed uint64) modelSets {
	return modelSets{dice: rand.New(rand.NewPCG(seed, 10)), absent: map[string]bool{}, left: map[string]bool{}, apart: map[string]bool{}}
}

// planSets leaves some models out of the first set, and plans the switches.
func (w *world) planSets() {
	s := &w.sets
	for _, m := range w.specs[1:] { // one stays always
		if s.dice.IntN(4) == 0 {
			s.absent[m.Name] = true
		}
	}
	if s.dice.IntN(2) == 0 { // before any worker has joined
		w.after(between(s.dice, 0, 20*time.Millisecond), w.switchSet)
	}
	for at := time.Duration(0); ; {
		at += between(s.dice, time.Millisecond, 600*time.Millisecond)
		if at > busyFor {
			return
		}
		w.after(at, w.switchSet)
		if s.dice.IntN(4) == 0 {
			at += between(s.dice, 0, 3*time.Millisecond) // and back, before all is evicted
			w.after(at, w.switchSet)
		}
	}
}

// present are the models of the present set.
func (w *world) present() (models []protocol.ModelSpec) {
	for _, m := range w.specs {
		if !w.sets.absent[m.Name] {
			models = append(models, m)
		}
	}
	return models
}

// profilesOf are the profiles of models.
func (w *world) profilesOf(models []protocol.ModelSpec) (profiles []protocol.Profile) {
	for _, p := range w.profiles {
		if slices.ContainsFunc(models, func(m protocol.ModelSpec) bool { return m.Digest == p.Digest }) {
			profiles = append(profiles, p)
		}
	}
	return profiles
}

// switchSet replaces the set. What waits for a model that leaves ends here.
func (w *world) switchSet() {
	s := &w.sets
	s.number++
	s.switches++
	for _, m := range w.specs[1:] {
		switch absent := s.absent[m.Name]; {
		case !absent && s.dice.IntN(4) == 0:
			s.absent[m.Name], s.left[m.Name] = true, true
		case absent && s.dice.IntN(2) == 0:
			delete(s.absent, m.Name)
			delete(s.left, m.Name)
		}
	}
	set := protocol.ClockworkState{Set: s.number, Models: w.present()}
	set.Profiles = w.profilesOf(set.Models)
	for _, h := range w.hosts {
		if s.apart[h.ID()] = s.dice.IntN(5) == 0; s.apart[h.ID()] {
			continue
		}
		if incarnation := w.known[h.ID()]; incarnation != 0 {
			set.Workers = append(set.Workers, protocol.WorkerState{ID: h.ID(), Incarnation: incarnation, Models: set.Models})
		}
	}
	w.step(&SetSwitched{State: set})
	if s.dice.IntN(3) == 0 {
		w.step(&SetSwitched{State: protocol.ClockworkState{Set: s.number - s.dice.Uint64N(2), Models: w.specs[:1]}}) // of a set that was
	}
}

// checkSets: the models are those of the set, none of another set is loaded or executes anew,
// none waits, and none of its copies stays.
func (w *world) checkSets(out Output) {
	if w.seed < switchedFrom {
		return
	}
	present := w.present()
	if len(present) != len(w.core.models) {
		w.fail("there are %d models, expected %d", len(w.core.models), len(present))
	}
	for i := range present {
		if w.core.names[present[i].Name] == nil {
			w.fail("%s is of the set, and is not known", present[i].Name)
		}
	}
	for _, to := range w.core.workers {
		for i := range present {
			if name := present[i].Name; !to.hosted[name] && !w.sets.apart[to.id] {
				w.fail("%s has %s in host memory, and is not known to", to.id, name)
			}
		}
	}
	for _, o := range out.Actions {
		if o.Action.Kind != protocol.EvictWeights && w.sets.absent[o.Action.Model] {
			w.fail("%s %d of %s, which is not of the set", o.Action.Kind, o.Action.ID, o.Action.Model)
		}
	}
	for _, r := range w.core.known {
		if r.waiting && w.sets.absent[r.Model] {
			w.fail("request %v waits for %s, which is not of the set", r.ID, r.Model)
		}
	}
	for _, g := range w.core.gpus {
		for _, r := range g.replicas {
			if name := r.model.spec.Name; w.sets.absent[name] && (r.phase == pending || r.phase == resident || r.phase == draining && r.busy == 0) {
				w.fail("%s gpu %d keeps a copy of %s, which is not of the set, %s", g.worker.id, g.id, name, phaseNames[r.phase])
			}
		}
	}
}

// checkRetired: who asks for a model that has left is told so, and nobody else; and no model of
// the set is unknown.
func (w *world) checkRetired(r *asked, refusal *protocol.Error) {
	name, retired := r.submission.Model, refusal.Code == protocol.ModelRetired
	present := !w.sets.absent[name] && name != "nobody"
	if left := w.sets.left[name]; retired && !left || (present || left) && refusal.Code == protocol.UnknownModel {
		w.fail("request %v of %s, which has left %v, is refused %v", r.submission.ID, name, left, refusal)
	}
}
