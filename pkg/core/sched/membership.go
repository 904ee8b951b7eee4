package sched

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
)

// membership is the set of workers of a term. A worker joins when it was announced (by
// the controller, or by its own GetWorkerState result), its heartbeat reports that its
// clock offset is known in this epoch, and it has said what is on its GPUs. It is asked for
// that in this epoch, so that it refuses from then on what an earlier scheduler orders:
// what it was announced with may be older. It is lost when its heartbeats are missing or
// carry another incarnation. All maps are by the worker's id and hold at most
// maxFollowed.
type membership struct {
	// watch follows the workers' heartbeats.
	watch liveness.Watch
	// joining are announced workers that have not joined yet. early are workers that were
	// announced in another incarnation than the one that was heard last, or that is joining:
	// its first heartbeat may be on its way, or the announcement came late.
	joining, early map[string]joiner
	// questions is the number of the last question to a worker. asked is the first
	// question to a worker since it was a member; what answers an earlier one is old.
	questions uint64
	asked     map[string]uint64
	// synced is what the last heartbeat of each followed worker said of its clock.
	synced map[string]clockSync
	// members maps each worker that was passed to the core, and not removed, to its
	// incarnation.
	members map[string]uint64
	// health is what the last heartbeat of each followed worker said of its GPUs, if it
	// said anything; told is what the core was told.
	health, told map[string][]protocol.GPUBeat
	// lacks are the models that each member does not serve.
	lacks map[string][]protocol.Lack
	// away maps each lost worker to the incarnation that was lost. The worker's next
	// heartbeat removes it; if that has the same incarnation, the worker is queried, so
	// that it can join again.
	away map[string]uint64
}

// joiner is a worker that was announced. answered: its GPUs are as it answered. own: it was
// announced by its own answer, so what it lacks is worked out from the models that it holds
// once the models of the epoch are known, which may be after the answer.
type joiner struct {
	protocol.WorkerState
	answered, own bool
}

// maxFollowed bounds the workers in each map of membership.
const maxFollowed = liveness.MaxInstances

// clockSync is the incarnation of a heartbeat, and the epoch to whose clock its worker
// has the offset; 0 for none.
type clockSync struct{ incarnation, epoch uint64 }

func newMembership() membership {
	return membership{
		joining: map[string]joiner{}, early: map[string]joiner{}, asked: map[string]uint64{}, synced: map[string]clockSync{},
		members: map[string]uint64{}, lacks: map[string][]protocol.Lack{}, away: map[string]uint64{},
		health: map[string][]protocol.GPUBeat{}, told: map[string][]protocol.GPUBeat{},
	}
}

// announced records a worker, which joins when its clock is known and it has answered.
func (t *Term) announced(w protocol.WorkerState) {
	t.expect(joiner{WorkerState: w})
	t.admit()
}

// expect records that a worker is to join. An incarnation that the
// core has already only changes what the worker serves. Another incarnation than the one that
// was heard last waits for its first heartbeat, because announcements may arrive before that,
// and out of order; the controller does not repeat them.
func (t *Term) expect(w joiner) {
	m := &t.workers
	if incarnation, member := m.members[w.ID]; member && incarnation == w.Incarnation {
		if !slices.EqualFunc(m.lacks[w.ID], w.Lacks, func(a, b protocol.Lack) bool { return a.Model == b.Model }) {
			m.lacks[w.ID] = w.Lacks
			w.Models = t.hosted(&w.WorkerState)
			t.decide(&WorkerJoined{State: w.WorkerState})
		}
		return
	}
	waiting, waits := m.joining[w.ID]
	heard := m.synced[w.ID].incarnation
	switch {
	case w.Epoch > t.Epoch(): // it would refuse every action
		t.note(Note{Kind: NoteEpochDoubted, ID: w.ID, Epoch: w.Epoch})
	case heard != 0 && heard != w.Incarnation:
		m.keepEarly(w)
	case !waits && len(m.joining) >= maxFollowed:
		t.note(Note{Kind: NoteTooManyWorkers, ID: w.ID, Count: len(m.joining)})
	default:
		if waits && waiting.Incarnation != w.Incarnation {
			m.keepEarly(waiting)
		} else if waiting.answered && !w.answered {
			w.GPUs, w.answered = waiting.GPUs, true
		}
		m.joining[w.ID] = w
		t.inquire(w.ID)
	}
}

// keepEarly keeps an announcement until its incarnation beats.
func (m *membership) keepEarly(w joiner) {
	if _, has := m.early[w.ID]; has || len(m.early) < maxFollowed {
		m.early[w.ID] = w
	}
}

// ready reports whether the clock of a joining worker is known in this epoch.
func (t *Term) ready(w *joiner) bool {
	return t.started && t.workers.synced[w.ID] == (clockSync{w.Incarnation, t.Epoch()})
}

// inquire asks a joining worker what is on its GPUs, once its clock is known. It is asked
// again at each of its heartbeats until it answers.
func (t *Term) inquire(id string) {
	if w, waits := t.workers.joining[id]; waits && !w.answered && t.ready(&w) {
		t.ask(WorkerQuestion{ID: id, Incarnation: w.Incarnation, Lean: true})
	}
}

func (t *Term) ask(q WorkerQuestion) {
	m := &t.workers
	m.questions++
	q.Number, q.Epoch = m.questions, t.Epoch()
	if m.asked[q.ID] == 0 {
		m.asked[q.ID] = q.Number
	}
	t.out.Ask = append(t.out.Ask, q)
}

// admit passes the joining workers whose clocks are known, and that have answered, to the
// core. The term becomes active once no worker is joining, or when clockWait is over.
func (t *Term) admit() {
	m := &t.workers
	if !t.started || len(m.joining) == 0 && t.active {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(m.joining)) {
		joining := m.joining[id]
		w := joining.WorkerState
		if !joining.answered || !t.ready(&joining) {
			continue
		}
		if joining.own {
			w.Lacks = t.lacksOf(&w)
		}
		delete(m.joining, id)
		delete(m.asked, id)
		m.members[id] = w.Incarnation
		m.lacks[id] = w.Lacks
		w.Models = t.hosted(&w)
		t.note(Note{Kind: NoteWorkerJoined, ID: id, Count: len(m.members)})
		t.decide(&WorkerJoined{State: w})
		delete(m.told, id)
		t.tellHealth(id)
	}
	if !t.active && (len(m.joining) == 0 || t.now >= t.clocksDue) {
		t.active, t.clocksDue = true, protocol.Never
		t.out.Activated = true
		t.note(Note{Kind: NoteActive, Count: len(m.members)})
	}
}

// hosted returns the models of the epoch that a worker serves.
func (t *Term) hosted(w *protocol.WorkerState) []protocol.ModelSpec {
	if len(w.Lacks) == 0 {
		return t.models
	}
	return slices.DeleteFunc(slices.Clone(t.models), func(m protocol.ModelSpec) bool { return w.Lacking(m.Name) })
}

// workerBeat takes a worker's heartbeat: another incarnation replaces the lost one, a
// stopping worker leaves once it is idle, and a worker that was lost is queried.
func (t *Term) workerBeat(h protocol.Heartbeat) {
	m := &t.workers
	changes, followed := m.watch.Beat(h)
	if !followed {
		t.note(Note{Kind: NoteTooManyWorkers, ID: h.ID, Count: maxFollowed})
		return
	}
	if early, is := m.early[h.ID]; is && early.Incarnation == h.Incarnation {
		m.joining[h.ID] = early
		delete(m.early, h.ID)
	}
	for _, c := range changes {
		if !c.There {
			t.workerLost(c.Heartbeat)
		}
	}
	if t.outgrown(h) {
		return
	}
	m.synced[h.ID] = clockSync{h.Incarnation, h.ClockEpoch}
	t.heardOfGPUs(h)
	if h.State == protocol.Stopping {
		t.workerStops(h)
	} else if incarnation, away := m.away[h.ID]; away {
		delete(m.away, h.ID)
		if incarnation == h.Incarnation && m.joining[h.ID].Incarnation != incarnation {
			t.ask(WorkerQuestion{ID: h.ID, Incarnation: h.Incarnation})
		}
	}
	t.inquire(h.ID)
	t.admit()
}

// outgrown reports whether a worker obeys a newer epoch, or has its clock. It is removed: it
// refuses every action of this epoch. If no other worker is left, nothing is lost if the term
// ends, and the next one has a higher number: so an epoch that the store gave to nobody, or that
// it has forgotten, keeps workers away only until then. As long as others serve, a worker's word
// ends nothing.
func (t *Term) outgrown(h protocol.Heartbeat) bool {
	m := &t.workers
	newest := max(h.Epoch, h.ClockEpoch)
	if newest <= t.Epoch() {
		return false
	}
	t.note(Note{Kind: NoteEpochDoubted, ID: h.ID, Epoch: newest})
	t.workerLost(h)
	if t.active && len(m.members) == 0 && !t.expecting() && t.now.Sub(t.since) >= clockWait {
		t.resign("all workers obey a newer epoch")
	}
	return true
}

// expecting reports whether a worker that beats is joining.
func (t *Term) expecting() bool {
	for id, w := range t.workers.joining { // map order does not matter: any of them
		if t.workers.synced[id].incarnation == w.Incarnation {
			return true
		}
	}
	return false
}

// heardOfGPUs takes what a worker's heartbeat says of its GPUs.
func (t *Term) heardOfGPUs(h protocol.Heartbeat) {
	m := &t.workers
	if len(h.GPUs) == 0 {
		delete(m.health, h.ID)
	} else if !slices.Equal(m.health[h.ID], h.GPUs) {
		m.health[h.ID] = slices.Clone(h.GPUs)
	}
	if t.Has(h.ID, h.Incarnation) {
		t.tellHealth(h.ID)
	}
}

// tellHealth tells the core of a member's GPUs, if there is anything new.
func (t *Term) tellHealth(id string) {
	m := &t.workers
	if slices.Equal(m.health[id], m.told[id]) {
		return
	}
	if m.told[id] = m.health[id]; m.told[id] == nil {
		delete(m.told, id)
	}
	t.decide(&GPUHealth{ID: id, Incarnation: m.members[id], GPUs: m.health[id]})
}

// workerAnswered takes what a joining worker has on its GPUs, or announces a worker that was
// lost and is heard again. The controller may not have lost it, and then does not announce
// it.
func (t *Term) workerAnswered(e *WorkerAnswered) {
	m := &t.workers
	if e.Obeys > t.credited(e.ID, e.Obeys) {
		return
	}
	if e.Obeys > t.Epoch() { // however old the answer is
		t.resign(newerEpoch)
		return
	}
	if first := m.asked[e.ID]; first == 0 || e.Number < first {
		return // it has joined or was lost meanwhile
	}
	answered := e.State != nil && e.State.ID == e.ID && e.State.Incarnation == e.Incarnation
	w, waits := m.joining[e.ID]
	waits = waits && w.Incarnation == e.Incarnation
	switch {
	case waits && answered:
		w.GPUs, w.answered = e.State.GPUs, true
		m.joining[e.ID] = w
		t.admit()
	case waits || e.Lean: // it is asked at its next heartbeat if it joins
	case !answered:
		t.missWorker(e.ID, e.Incarnation) // it may be silent again; its next heartbeat asks
	default:
		t.returned(*e.State)
	}
}

// returned announces a worker by its own answer.
func (t *Term) returned(w protocol.WorkerState) {
	t.expect(joiner{WorkerState: w, answered: true, own: true})
	t.admit()
}

// lacksOf returns the models of the epoch that a worker does not hold as they are served,
// by its own word.
func (t *Term) lacksOf(w *protocol.WorkerState) (lacks []protocol.Lack) {
	holds := make(map[string]*protocol.ModelSpec, len(w.Models))
	for i := range w.Models {
		holds[w.Models[i].Name] = &w.Models[i]
	}
	for _, m := range t.models {
		want, have := w.SpecOf(m), holds[m.Name]
		if have == nil {
			lacks = append(lacks, protocol.Lack{Model: m.Name, Code: protocol.UnknownModel})
		} else if diff := have.Differs(&want); diff != "" {
			lacks = append(lacks, protocol.Lack{Model: m.Name, Code: protocol.ModelChanged, Message: diff})
		}
	}
	return lacks
}

// workerStops removes a stopping worker once it has finished its actions; it begins no
// further ones.
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

// workerLost removes a worker whose heartbeats are missing or come from another
// incarnation. If it was joining or a member, its next heartbeat triggers a query.
func (t *Term) workerLost(h protocol.Heartbeat) {
	m := &t.workers
	delete(m.synced, h.ID)
	delete(m.health, h.ID)
	if w, waits := m.joining[h.ID]; waits && w.Incarnation == h.Incarnation {
		delete(m.joining, h.ID)
		delete(m.asked, h.ID)
		t.missWorker(h.ID, h.Incarnation)
	}
	if t.removeWorker(h) {
		t.note(Note{Kind: NoteWorkerLost, ID: h.ID, Count: len(m.members)})
		t.missWorker(h.ID, h.Incarnation)
	}
	t.admit()
}

// missWorker records a lost worker, so that its next heartbeat triggers a query.
func (t *Term) missWorker(id string, incarnation uint64) {
	m := &t.workers
	if _, known := m.away[id]; known || len(m.away) < maxFollowed {
		m.away[id] = incarnation
	}
}

// removeWorker removes this incarnation of a worker from the core; false if the core does
// not have it.
func (t *Term) removeWorker(h protocol.Heartbeat) bool {
	if !t.Has(h.ID, h.Incarnation) {
		return false
	}
	delete(t.workers.members, h.ID)
	delete(t.workers.told, h.ID)
	delete(t.workers.lacks, h.ID)
	t.decide(&WorkerLost{ID: h.ID, Incarnation: h.Incarnation})
	return true
}

// draw writes the workers for Term.String.
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
