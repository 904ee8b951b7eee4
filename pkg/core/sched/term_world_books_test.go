package sched

import (
	"fmt"
	"slices"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
)

// wBooks are what a world knows of a term, in the plainest way: of what the term was told, and
// of what it told its core.
type wBooks struct {
	silent map[string]int                // heartbeats due since a worker's last one
	known  map[string][]uint64           // incarnations that were heard
	last   map[string]protocol.Heartbeat // of each worker
	// announced are the workers that the controller announced. apart is for how many heartbeats
	// a worker was announced, heard and ready, and did not belong.
	announced map[wInstance]bool
	answered  map[wInstance]bool // said what is on their GPUs, since they were lost last
	apart     map[string]int
	seen      uint64 // the highest epoch of another scheduler
	newer     bool   // a worker showed a newer epoch, which another scheduler has

	members map[string]wMember
	health  map[string][]protocol.GPUBeat // of members, as the core was told
}

// wInstance is an incarnation of a worker.
type wInstance struct {
	id          string
	incarnation uint64
}

// wMember is a worker that the core has, and how many models it serves.
type wMember struct {
	incarnation uint64
	models      int
}

func newWBooks() *wBooks {
	return &wBooks{silent: map[string]int{}, known: map[string][]uint64{}, last: map[string]protocol.Heartbeat{},
		announced: map[wInstance]bool{}, answered: map[wInstance]bool{}, apart: map[string]int{},
		members: map[string]wMember{}, health: map[string][]protocol.GPUBeat{}}
}

func (b *wBooks) heartbeatDue() {
	for id := range b.silent {
		b.silent[id]++
	}
}

func (b *wBooks) heard(h protocol.Heartbeat) {
	b.silent[h.ID] = 0
	b.known[h.ID] = append(b.known[h.ID], h.Incarnation)
	b.last[h.ID] = h
}

// claims is the newest epoch that a worker's last heartbeat named.
func (b *wBooks) claims(worker string) uint64 {
	h := b.last[worker]
	return max(h.Epoch, h.ClockEpoch)
}

// obeys notes the epoch that a worker shows.
func (b *wBooks) obeys(w *termWorld, t *Term, epoch uint64) {
	if epoch > t.Epoch() && epoch <= b.seen {
		b.newer = true
		w.happened.fenced++
	}
}

// checkStep looks at what a term does with an event.
func (s *wScheduler) checkStep(e TermEvent, out *TermOutput) {
	w, t, b := s.w, s.term, s.books
	if stats := t.Stats(); stats.Submitted != stats.Succeeded+stats.Refused+stats.Answered+stats.Withdrawn+stats.Forgotten+stats.Duplicates+stats.Queued+stats.InFlight {
		w.broken("G13: the accounts of %s do not close: %+v", s.id, stats)
	}
	if !w.lease.given[t.Epoch()] {
		w.broken("G7: %s has epoch %d, which the store has not given", s.id, t.Epoch())
	}
	switch e := e.(type) {
	case *Submitted:
		if e.Epoch != t.Epoch() && len(out.Verdicts) > 0 {
			w.broken("G1: %s of epoch %d has a say on a late answer of epoch %d", s.id, t.Epoch(), e.Epoch)
		}
	case *WorkerBeat:
		if e.Epoch > t.Epoch() && t.Has(e.ID, e.Incarnation) {
			w.broken("G7: %s belongs to epoch %d and obeys %d", e.ID, t.Epoch(), e.Epoch)
		}
	case *Result:
		b.obeys(w, t, e.Epoch)
	}
	if b.newer && (out.Resign == "" || len(out.Actions)+len(out.Owed)+len(out.Verdicts) > 0) {
		w.broken("G7: %s decides although a worker obeys a newer epoch", s.id)
	}
	for id, m := range b.members { // map order does not matter
		if h := b.last[id]; h.Incarnation == m.incarnation && t.Has(id, m.incarnation) && !slices.Equal(b.health[id], h.GPUs) {
			w.broken("%s says of its GPUs %v, the core was told %v", id, h.GPUs, b.health[id])
		}
	}
	for _, q := range out.Ask {
		if q.Epoch != t.Epoch() {
			w.broken("G7: epoch %d asks %s, and names epoch %d", t.Epoch(), q.ID, q.Epoch)
		}
	}
	for _, list := range [][]protocol.Dispatch{out.Dispatches, out.Refusals, out.Verdicts} {
		for _, d := range list {
			if d.Epoch != t.Epoch() {
				w.broken("G7: epoch %d decides on %v and names epoch %d", t.Epoch(), d.ID, d.Epoch)
			}
		}
	}
}

// checkResign: a term ends if a worker obeys a scheduler that followed, or if nobody obeys.
func (s *wScheduler) checkResign(why string) {
	if s.books.newer {
		return
	}
	s.w.happened.unheeded++
	for id := range s.books.members {
		s.w.broken("G7: %s gives up its lease although %s obeys: %s", s.id, id, why)
	}
}

// checkCore looks at what the core is told.
func (s *wScheduler) checkCore(e Event) {
	switch e := e.(type) {
	case *GPUHealth:
		if s.books.members[e.ID].incarnation == e.Incarnation {
			s.books.health[e.ID] = slices.Clone(e.GPUs)
		}
	case *WorkerJoined:
		s.checkJoin(&e.State)
	case *WorkerLost:
		s.checkLoss(e)
	}
}

// checkJoin: a worker joins once, or again with other models; in the incarnation and with the
// clock that it said, as its GPU is, and with models that it has.
func (s *wScheduler) checkJoin(state *protocol.WorkerState) {
	w, b, x := s.w, s.books, s.w.worker(state.ID)
	if !w.said[fmt.Sprint(state.ID, state.Incarnation, s.term.Epoch())] {
		w.broken("G7: %s#%d joins epoch %d without having said that it knows its clock", state.ID, state.Incarnation, s.term.Epoch())
	}
	was, again := b.members[state.ID]
	again = again && was.incarnation == state.Incarnation
	if again && was.models == len(state.Models) {
		w.broken("G7: %s#%d joins twice", state.ID, state.Incarnation)
	}
	if !again {
		delete(b.health, state.ID)
		if !b.answered[wInstance{state.ID, state.Incarnation}] {
			w.broken("G6: %s#%d joins epoch %d without having said what is on its GPUs", state.ID, state.Incarnation, s.term.Epoch())
		}
	}
	b.members[state.ID] = wMember{state.Incarnation, len(state.Models)}
	if len(state.Models) < len(wModels) {
		w.happened.lacking++
	}
	if s.term.Active() {
		w.happened.lateJoins++
	}
	if x.core.Incarnation() != state.Incarnation {
		return
	}
	if !again {
		x.checkMirror(state, s.term.Epoch())
	}
	for _, m := range state.Models {
		if !x.has(m.Name) {
			w.broken("G7: %s#%d serves %s, and does not have it", state.ID, state.Incarnation, m.Name)
		}
	}
}

// checkLoss: nobody is lost who beats, in one incarnation, and neither stops nor obeys another.
func (s *wScheduler) checkLoss(e *WorkerLost) {
	w, b := s.w, s.books
	w.happened.missed++
	delete(b.members, e.ID)
	delete(b.answered, wInstance{e.ID, e.Incarnation})
	heard := b.known[e.ID]
	replaced := len(heard) > 0 && heard[len(heard)-1] != e.Incarnation
	if b.claims(e.ID) <= s.term.Epoch() && b.silent[e.ID] <= liveness.LostTicks && !replaced && !w.said[fmt.Sprint(e.ID, e.Incarnation, protocol.Stopping)] {
		w.broken("G7: %s#%d is lost %d heartbeats after it was heard", e.ID, e.Incarnation, b.silent[e.ID])
	}
}

// checkPatience looks for workers that should belong: they were announced, and beat, and know
// the clock, for patience.
func (s *wScheduler) checkPatience() {
	const patience = 20 // heartbeats
	b := s.books
	for id, h := range b.last { // map order does not matter
		ready := b.announced[wInstance{id, h.Incarnation}] && b.silent[id] <= 1 && h.ClockEpoch == s.term.Epoch() && h.Epoch <= s.term.Epoch() && h.State != protocol.Stopping
		if !ready || s.w.worker(id).liar || !s.term.Active() || s.term.Has(id, h.Incarnation) {
			b.apart[id] = 0
		} else if b.apart[id]++; b.apart[id] > patience {
			s.w.broken("G7: %s#%d is announced and beats, and does not belong\n%v", id, h.Incarnation, s.term)
		}
	}
}

// checkSilence looks for members that should have been missed.
func (s *wScheduler) checkSilence() {
	for id := range s.books.members {
		if s.books.silent[id] > liveness.LostTicks {
			s.w.broken("G7: %s is still a member after %d heartbeats without one of its own", id, s.books.silent[id])
		}
	}
}
