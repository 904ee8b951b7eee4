package sched

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
)

// membership is which workers belong. A worker joins when it was announced (by the
// controller, or by its own answer) and its heartbeat says that its clock is known
// in this epoch; it is lost when it is silent, or when it beats with another
// incarnation. All maps are by the worker's id and hold at most maxFollowed.
type membership struct {
	watch   liveness.Watch
	joining map[string]protocol.WorkerState // announced, their clocks not known yet
	synced  map[string]clockSync            // what living workers last said of their clocks
	members map[string]uint64               // the core's workers, and their incarnations
	away    map[string]uint64               // those that were missed; asked once they are heard again
}

// maxFollowed bounds the workers of each kind.
const maxFollowed = liveness.MaxInstances

// clockWord is a worker's last word on its clock.
type clockSync struct{ incarnation, epoch uint64 }

func newMembership() membership {
	return membership{
		joining: map[string]protocol.WorkerState{}, synced: map[string]clockSync{},
		members: map[string]uint64{}, away: map[string]uint64{},
	}
}

// announced takes note of a worker.
func (t *Term) announced(w protocol.WorkerState) {
	t.expect(w)
	t.admit()
}

// expect has a worker join once its clock is known. News is only another
// incarnation than the core has, and none replaces the one that is heard: messages
// overtake each other.
func (t *Term) expect(w protocol.WorkerState) {
	m := &t.workers
	if incarnation, member := m.members[w.ID]; member && incarnation == w.Incarnation {
		return
	}
	waiting, waits := m.joining[w.ID]
	switch {
	case waits && waiting.Incarnation != w.Incarnation && m.synced[w.ID].incarnation == waiting.Incarnation:
	case !waits && len(m.joining) >= maxFollowed:
		t.note(Note{Kind: NoteTooManyWorkers, ID: w.ID, Count: len(m.joining)})
	default:
		m.joining[w.ID] = w
	}
}

// admit lets workers whose clocks are known into the core, and makes the term
// active once all are there or clockWait is over.
func (t *Term) admit() {
	m := &t.workers
	if !t.started || len(m.joining) == 0 && t.active {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(m.joining)) {
		w := m.joining[id]
		if m.synced[id] != (clockSync{w.Incarnation, t.epoch}) {
			continue
		}
		delete(m.joining, id)
		m.members[id] = w.Incarnation
		w.Models = t.models
		t.note(Note{Kind: NoteWorkerJoined, ID: id, Count: len(m.members)})
		t.decide(&WorkerJoined{State: w})
	}
	if !t.active && (len(m.joining) == 0 || t.now >= t.clocksDue) {
		t.active, t.clocksDue = true, protocol.Never
		t.out.Activated = true
		t.note(Note{Kind: NoteActive, Count: len(m.members)})
	}
}

func (t *Term) workerBeat(h protocol.Heartbeat) {
	m := &t.workers
	replaced, followed := m.watch.Beat(h)
	if !followed {
		t.note(Note{Kind: NoteTooManyWorkers, ID: h.ID, Count: maxFollowed})
		return
	}
	if replaced != nil {
		t.workerLost(*replaced)
	}
	m.synced[h.ID] = clockSync{h.Incarnation, h.ClockEpoch}
	if h.State == protocol.Stopping {
		t.workerStops(h)
	} else if incarnation, away := m.away[h.ID]; away {
		delete(m.away, h.ID)
		if incarnation == h.Incarnation {
			t.out.Ask = append(t.out.Ask, WorkerQuestion{h.ID, h.Incarnation})
		}
	}
	t.admit()
}

// workerAnswered takes a worker back that was silent and lives on. The controller
// may not have missed it, so nobody else would bring it back.
func (t *Term) workerAnswered(e *WorkerAnswered) {
	m := &t.workers
	if _, waits := m.joining[e.ID]; waits {
		return // the controller was faster
	}
	if e.State == nil || e.State.ID != e.ID || e.State.Incarnation != e.Incarnation {
		t.missWorker(e.ID, e.Incarnation) // it may be silent again; its next heartbeat asks
		return
	}
	t.announced(*e.State)
}

// workerStops lets a worker go that was told to stop, once it has finished what it
// was given: what it is given after that is not begun.
func (t *Term) workerStops(h protocol.Heartbeat) {
	if h.InFlight > 0 {
		return
	}
	m := &t.workers
	if m.joining[h.ID].Incarnation == h.Incarnation {
		delete(m.joining, h.ID)
	}
	if t.removeWorker(h) {
		t.note(Note{Kind: NoteWorkerLeft, ID: h.ID, Count: len(m.members)})
	}
	if m.away[h.ID] == h.Incarnation {
		delete(m.away, h.ID)
	}
}

func (t *Term) workerLost(h protocol.Heartbeat) {
	m := &t.workers
	delete(m.synced, h.ID)
	if w, waits := m.joining[h.ID]; waits && w.Incarnation == h.Incarnation {
		delete(m.joining, h.ID)
		t.missWorker(h.ID, h.Incarnation)
	}
	if t.removeWorker(h) {
		t.note(Note{Kind: NoteWorkerLost, ID: h.ID, Count: len(m.members)})
		t.missWorker(h.ID, h.Incarnation)
	}
	t.admit()
}

// missWorker has a worker asked for its state when it is heard again.
func (t *Term) missWorker(id string, incarnation uint64) {
	m := &t.workers
	if _, known := m.away[id]; known || len(m.away) < maxFollowed {
		m.away[id] = incarnation
	}
}

// removeWorker takes this incarnation of a worker out of the core, if it is there.
func (t *Term) removeWorker(h protocol.Heartbeat) bool {
	if !t.Has(h.ID, h.Incarnation) {
		return false
	}
	delete(t.workers.members, h.ID)
	t.decide(&WorkerLost{ID: h.ID, Incarnation: h.Incarnation})
	return true
}

// draw lists the workers.
func (m *membership) draw(b *strings.Builder) {
	ids := map[string]bool{}
	for id := range m.members {
		ids[id] = true
	}
	for id := range m.joining {
		ids[id] = true
	}
	for id := range m.away {
		ids[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		fmt.Fprintf(b, "worker %s", id)
		if incarnation, is := m.members[id]; is {
			fmt.Fprintf(b, " member #%d", incarnation)
		}
		if w, is := m.joining[id]; is {
			fmt.Fprintf(b, " joining #%d", w.Incarnation)
		}
		if incarnation, is := m.away[id]; is {
			fmt.Fprintf(b, " away #%d", incarnation)
		}
		b.WriteString("\n")
	}
}
