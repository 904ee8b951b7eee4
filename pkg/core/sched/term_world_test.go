package sched

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// A world for the term: two schedulers that campaign for one lease, three workers and one
// that lies about epochs, two front doors that lie as well, a controller and a broker, in
// virtual time. Workers die, stand still, and have clocks that step and lie; front doors die,
// stand still, are cut off and come back; messages are lost, doubled and late where a broker
// may do that. In every second world schedulers die and stand still as well, so that two think
// they lead, and lose their connections; the store is lost, and the hosts' clocks differ; in
// every fourth, somebody who has a scheduler's key gives orders in epochs that no scheduler was
// given.
//
// Held at every event: G1 (no request has two answers), G7 (a worker belongs only in the
// incarnation and with the clock it said; nobody is lost who beats and obeys, nobody stays who
// is silent or obeys a newer epoch; an older term gives no order that is obeyed; one that saw a
// newer epoch is silent; no word but the store's makes an epoch, and none ends a term that an
// honest worker serves). Held at the end, when all has been well for a while but the lies: each
// request of a front door that lives is answered, those of a dead one that its scheduler knew of
// as well, one scheduler is active with every worker in its present life, and the books are
// empty (G11).
func TestTermWorld(t *testing.T) {
	for seed := uint64(1); seed <= 80; seed++ {
		w := newTermWorld(seed)
		w.run(8 * time.Second)
		if w.fault != "" {
			t.Fatalf("seed %d: %s", seed, w.fault)
		}
		termWorlds.add(w.happened)
	}
	t.Logf("%+v", termWorlds)
	if h := termWorlds; h.owed == 0 || h.taken == 0 || h.yours == 0 || h.takeovers == 0 || h.twoLead == 0 || h.missed == 0 || h.asked == 0 || h.fenced == 0 || h.lateJoins == 0 || h.lies == 0 || h.doorLies == 0 || h.forged == 0 || h.lost == 0 || h.unheeded == 0 || h.claims == 0 {
		t.Errorf("too little happened, the test proves nothing: %+v", h)
	}
}

// termHappened counts what a world's faults did.
type termHappened struct {
	requests, owed, taken, yours, none, takeovers, twoLead, missed, asked, fenced, lateJoins, lies, doorLies, forged, lost, unheeded, claims int
}

var termWorlds termHappened

func (h *termHappened) add(o termHappened) {
	for i, p := range []*int{&h.requests, &h.owed, &h.taken, &h.yours, &h.none, &h.takeovers, &h.twoLead, &h.missed, &h.asked, &h.fenced, &h.lateJoins, &h.lies, &h.doorLies, &h.forged, &h.lost, &h.unheeded, &h.claims} {
		*p += []int{o.requests, o.owed, o.taken, o.yours, o.none, o.takeovers, o.twoLead, o.missed, o.asked, o.fenced, o.lateJoins, o.lies, o.doorLies, o.forged, o.lost, o.unheeded, o.claims}[i]
	}
}

type termWorld struct {
	simtime.Clock
	end        protocol.Time // of the faults
	rough      bool          // schedulers have troubles too
	forging    bool          // somebody else has their key
	schedulers []*wScheduler
	workers    []*wWorker
	doors      []*wDoor // living and dead
	controller *wController
	lease      struct {
		holder *wScheduler
		epoch  uint64 // that the store has; 0 for none
		given  map[uint64]bool
	}
	requests map[protocol.RequestID]*wRequest
	said     map[string]bool // what heartbeats said: worker, incarnation, clock epoch
	happened termHappened
	fault    string
}

// wRequest is one, as nobody in the world knows it.
type wRequest struct {
	answers int
	excused bool // it may have none
}

func newTermWorld(seed uint64) *termWorld {
	w := &termWorld{Clock: simtime.Clock{RNG: rand.New(rand.NewPCG(seed, 77))}, requests: map[protocol.RequestID]*wRequest{}, said: map[string]bool{}, rough: seed%2 == 0, forging: seed%4 == 0}
	w.lease.given = map[uint64]bool{}
	w.controller = &wController{w: w, confirmed: map[string]wJoin{}}
	for _, id := range []string{"s1", "s2"} {
		w.schedulers = append(w.schedulers, &wScheduler{Process: simtime.Process{Clock: &w.Clock}, w: w, id: id, ahead: w.UpTo(300 * time.Millisecond)})
	}
	for i := range 4 {
		w.workers = append(w.workers, &wWorker{Process: simtime.Process{Clock: &w.Clock}, w: w, id: fmt.Sprintf("w%d", i), incarnation: 1, liar: i == 3})
	}
	return w
}

func (w *termWorld) broken(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf("at %v: ", w.Now) + fmt.Sprintf(format, args...)
	}
}

func (w *termWorld) chance(p float64) bool { return w.RNG.Float64() < p }

// faulty reports whether things may go wrong still.
func (w *termWorld) faulty() bool { return w.Now < w.end }

// loose delivers a message that may be lost, doubled and late.
func (w *termWorld) loose(do func()) {
	if w.faulty() {
		if w.chance(0.02) {
			return
		}
		if w.chance(0.02) {
			w.After(w.Delay()+w.UpTo(30*time.Millisecond), do)
		}
		if w.chance(0.03) {
			w.After(w.Delay()+w.UpTo(250*time.Millisecond), do)
			return
		}
	}
	w.After(w.Delay(), do)
}

// run lets everything go wrong for a while, then nothing, and looks at the end.
func (w *termWorld) run(length time.Duration) {
	w.end = w.Now.Add(length)
	for _, s := range w.schedulers {
		s.begin()
	}
	for _, x := range w.workers {
		x.begin()
	}
	for range 2 {
		w.openDoor()
	}
	w.controller.begin()
	if w.forging {
		w.Every(1900*time.Millisecond, w.forge)
	}
	w.drive(w.end.Add(4 * time.Second))
	for _, d := range w.doors { // what said that requests were answered may have been lost; the ledgers forget them
		d.quiet = true
	}
	w.drive(w.Now.Add(staleAfter + 2*sweepEvery))
	w.checkEnd()
}

func (w *termWorld) drive(until protocol.Time) { w.Run(until, func() bool { return w.fault != "" }) }

// forge gives all workers an order in an epoch that no scheduler was given.
func (w *termWorld) forge() {
	if !w.faulty() {
		return
	}
	w.happened.forged++
	forged := w.lease.epoch + uint64(w.UpTo(800*time.Millisecond).Microseconds())
	for _, x := range w.workers {
		w.loose(x.On(func() { x.obeys = max(x.obeys, forged) }))
	}
}

// lie is an epoch that somebody names who was told of none: a little, or by far, above the
// one that there is.
func (w *termWorld) lie() uint64 {
	return []uint64{w.lease.epoch + 1, w.lease.epoch + 1000, w.lease.epoch + 1<<40, 1<<64 - 2}[w.RNG.IntN(4)]
}

// wScheduler is a scheduler process.
type wScheduler struct {
	simtime.Process
	w        *termWorld
	id       string
	term     *Term
	core     *courier
	standby  liveness.Succession
	inbox    simtime.Connection // of what front doors say and the broker says of them
	missed   bool               // something of that was lost
	deaf     protocol.Time
	silent   map[string]int      // heartbeats due since a worker's last one
	known    map[string][]uint64 // incarnations that were heard
	newer    bool                // a worker showed a newer epoch, which another scheduler has
	seen     uint64              // the highest epoch of another scheduler in this term
	claims   map[string]uint64   // the epoch that each worker's last heartbeat named
	ahead    time.Duration       // of its host's clock
	question uint64
}

func (s *wScheduler) begin() {
	w := s.w
	s.term, s.standby = nil, liveness.Succession{Self: s.id}
	s.Each(protocol.HeartbeatEvery, s.beat)
	s.Each(protocol.HeartbeatEvery, func() {
		for id := range s.silent {
			s.silent[id]++
		}
		s.step(&HeartbeatDue{})
		s.checkSilence()
	})
	s.Each(liveness.CampaignEvery, s.campaign)
	s.Each(liveness.RenewEvery, func() { // its renewal fails; until it hears so, it thinks that it leads
		w.After(w.UpTo(50*time.Millisecond), s.On(func() {
			if s.term != nil && w.lease.holder != s {
				s.term = nil
			}
		}))
	})
	s.Each(900*time.Millisecond, func() {
		switch p := w.RNG.Float64(); {
		case !w.faulty() || !w.rough:
		case p < 0.06:
			s.Incarnation++
			s.term = nil
			w.After(w.UpTo(time.Second), s.begin)
		case p < 0.16:
			s.PausedUntil = w.Now.Add(w.UpTo(1500 * time.Millisecond))
		case p < 0.22: // its connection breaks
			s.deaf, s.missed = w.Now.Add(w.UpTo(200*time.Millisecond)), true
		case p < 0.26: // the store is lost
			w.lease.epoch = 0
			w.happened.lost++
		}
	})
}

// beat tells everybody how the scheduler stands.
func (s *wScheduler) beat() {
	w := s.w
	if s.deaf > w.Now {
		return
	}
	h := protocol.Heartbeat{ID: s.id, Incarnation: uint64(s.Incarnation), State: protocol.Standby}
	if s.term != nil {
		h.Epoch, h.State = s.term.Epoch(), protocol.SchedulerReady
		if s.term.Active() {
			h.State = protocol.SchedulerActive
		}
	}
	for _, o := range w.schedulers {
		w.loose(o.On(func() {
			o.standby.Heard(h.ID)
			if o != s {
				o.seen = max(o.seen, h.Epoch)
				o.step(&SchedulerBeat{h})
			}
		}))
	}
	for _, d := range w.doors {
		w.loose(d.On(func() { d.schedulerBeat(h) }))
	}
	w.loose(func() { w.controller.schedulerBeat(h) })
}

func (s *wScheduler) campaign() {
	w := s.w
	if s.term != nil || s.deaf > w.Now {
		return
	}
	if w.lease.holder != nil && (w.lease.holder == s || !s.standby.Silent(w.lease.holder.id)) {
		if w.lease.holder == s { // it died and is back
			w.lease.holder = nil
		}
		return
	}
	for _, o := range w.schedulers {
		if o != s && o.term != nil && o.Incarnation >= 0 {
			w.happened.twoLead++
		}
	}
	w.happened.takeovers++
	w.lease.epoch = protocol.NextTerm(time.Unix(0, int64(w.Now.Add(s.ahead))), w.lease.epoch)
	w.lease.given[w.lease.epoch] = true
	w.lease.holder = s
	s.question += 1000
	s.seen, s.claims = 0, map[string]uint64{}
	s.core = &courier{known: map[protocol.RequestID]bool{}}
	s.silent, s.known, s.newer = map[string]int{}, map[string][]uint64{}, false
	s.term = NewTerm(s.core, TermConfig{Epoch: w.lease.epoch, Issuer: w.lease.epoch, Question: s.question, Subjects: protocol.Subjects{Prefix: "clockwork"}})
	s.term.Observe = func(_ protocol.Time, e Event, _ *Output) { s.checkCore(e) }
	s.beat()
}

// hear takes what comes on the subject of submissions.
func (s *wScheduler) hear(e TermEvent) {
	s.inbox.Send(&s.w.Clock, s.On(func() {
		if s.deaf > s.w.Now {
			return
		}
		switch e.(type) {
		case *NoResponders, *FrontDoorBeat:
			if s.missed {
				s.missed = false
				s.step(&MessagesMissed{})
			}
		}
		s.step(e)
	}))
}

func (s *wScheduler) step(e TermEvent) {
	if s.term == nil {
		return
	}
	w, t := s.w, s.term
	out := t.Step(w.Now, e)
	if b, is := e.(*WorkerBeat); is && t.Has(b.ID, b.Incarnation) && !slices.Equal(s.core.health[b.ID], b.GPUs) {
		w.broken("%s says of its GPUs %v, the core was told %v", b.ID, b.GPUs, s.core.health[b.ID])
	}
	if s.newer && len(out.Actions)+len(out.Owed)+len(out.Verdicts) > 0 {
		w.broken("G7: %s decides although a worker obeys a newer epoch", s.id)
	}
	if late, is := e.(*Submitted); is && late.Epoch != t.Epoch() && len(out.Verdicts) > 0 {
		w.broken("G1: %s of epoch %d has a say on a late answer of epoch %d", s.id, t.Epoch(), late.Epoch)
	}
	if !w.lease.given[t.Epoch()] {
		w.broken("G7: %s has epoch %d, which the store has not given", s.id, t.Epoch())
	}
	if b, is := e.(*WorkerBeat); is && b.Epoch > t.Epoch() && t.Has(b.ID, b.Incarnation) {
		w.broken("G7: %s belongs to epoch %d and obeys %d", b.ID, t.Epoch(), b.Epoch)
	}
	if r, is := e.(*Result); is && r.Epoch > t.Epoch() && r.Epoch <= s.seen {
		s.newer = true
		w.happened.fenced++
	}
	for _, a := range out.Actions {
		a.Action.Requests = slices.Clone(a.Action.Requests)
		w.workers[a.Worker[1]-'0'].order(s, a.Action)
	}
	for _, list := range [][]protocol.Dispatch{out.Dispatches, out.Refusals, out.Verdicts} {
		for _, d := range list {
			if d.Epoch != t.Epoch() {
				w.broken("G7: epoch %d decides on %v and names epoch %d", t.Epoch(), d.ID, d.Epoch)
			}
			w.doorOf(d.ID.Door).toDoor(func(x *wDoor) { x.dispatched(d) })
		}
	}
	for _, q := range out.Ask {
		s.ask(q)
	}
	for _, q := range out.Questions {
		w.inquire(q)
	}
	for _, o := range out.Owed {
		s.answerFor(o)
	}
	if out.Resign != "" {
		if !s.newer {
			w.happened.unheeded++
			for id := range s.core.members {
				w.broken("G7: %s gives up its lease although %s obeys: %s", s.id, id, out.Resign)
			}
		}
		s.term = nil
		if w.lease.holder == s {
			w.lease.holder = nil
		}
		return
	}
	if out.Activated {
		s.beat()
	}
	if out.Wake != protocol.Never {
		w.After(out.Wake.Sub(w.Now), s.On(func() {
			if s.term == t && out.Wake <= w.Now {
				s.step(&Tick{})
			}
		}))
	}
}

func (s *wScheduler) ask(q WorkerQuestion) {
	w, x := s.w, s.w.workers[q.ID[1]-'0']
	w.happened.asked++
	open := true
	t := s.term
	answer := func(state *protocol.WorkerState, obeys uint64) {
		if open && s.term == t {
			open = false
			if obeys > t.Epoch() && obeys <= s.seen {
				s.newer = true
				w.happened.fenced++
			}
			s.step(&WorkerAnswered{WorkerQuestion: q, State: state, Obeys: obeys})
		}
	}
	w.loose(x.On(func() {
		var state *protocol.WorkerState
		if x.incarnation == q.Incarnation && x.obeys <= q.Epoch {
			x.obeys = q.Epoch
			said := x.state()
			state = &said
			if q.Lean {
				state.Models = nil
			}
		}
		obeys := x.obeys
		w.loose(s.On(func() { answer(state, obeys) }))
	}))
	w.After(500*time.Millisecond, s.On(func() { answer(nil, 0) }))
}

// inquire has the broker look who listens on a front door's subjects, and tell every
// scheduler behind what the front door has said.
func (w *termWorld) inquire(q FrontDoorQuestion) {
	for _, number := range []uint64{q.Dispatch, q.Output} {
		w.loose(func() {
			if d := w.doorOf(q.FrontDoor); d.connected {
				return
			}
			for _, s := range w.schedulers {
				s.hear(&NoResponders{q.FrontDoor, number})
			}
		})
	}
}

// answerFor claims and answers for a front door.
func (s *wScheduler) answerFor(o OwedAnswers) {
	w := s.w
	claim := &AnswersReported{FrontDoor: o.FrontDoor, Epoch: s.term.Epoch()}
	for _, a := range o.Answers {
		claim.Answered = append(claim.Answered, a.Seq)
		w.happened.owed++
		w.answered(protocol.RequestID{Door: o.FrontDoor, Seq: a.Seq})
		if want := fmt.Sprintf("inbox.%d.%d", o.FrontDoor, a.Seq); a.Reply != want {
			w.broken("G1: %s is answered on %s", want, a.Reply)
		}
	}
	for _, other := range w.schedulers {
		other.hear(claim)
	}
}

// checkCore looks at what the core is given.
func (s *wScheduler) checkCore(e Event) {
	w := s.w
	switch e := e.(type) {
	case *WorkerJoined:
		if !w.said[fmt.Sprint(e.State.ID, e.State.Incarnation, s.term.Epoch())] {
			w.broken("G7: %s#%d joins epoch %d without having said that it knows its clock", e.State.ID, e.State.Incarnation, s.term.Epoch())
		}
		if x := w.workers[e.State.ID[1]-'0']; x.incarnation == e.State.Incarnation {
			if said, is := e.State.GPUs[0].PagesUsed, x.obeyedBefore(s.term.Epoch()); said != is {
				w.broken("G6: %s#%d joins epoch %d as it was after %d orders of earlier ones; it has obeyed %d", x.id, x.incarnation, s.term.Epoch(), said, is)
			}
		}
		if s.core.twice {
			w.broken("G7: %s#%d joins twice", e.State.ID, e.State.Incarnation)
		}
		for _, m := range worldModels {
			_, given := e.State.Holds(m.Name)
			if x := w.workers[e.State.ID[1]-'0']; x.incarnation == e.State.Incarnation && given != x.holds(m.Name) {
				w.broken("G7: %s#%d serves %s: %v, and holds it: %v", e.State.ID, e.State.Incarnation, m.Name, given, !given)
			}
		}
		if s.term.Active() {
			w.happened.lateJoins++
		}
	case *WorkerLost:
		w.happened.missed++
		heard := s.known[e.ID]
		if s.claims[e.ID] <= s.term.Epoch() && s.silent[e.ID] <= liveness.LostTicks && (len(heard) == 0 || heard[len(heard)-1] == e.Incarnation) && !w.said[fmt.Sprint(e.ID, e.Incarnation, protocol.Stopping)] {
			w.broken("G7: %s#%d is lost %d heartbeats after it was heard", e.ID, e.Incarnation, s.silent[e.ID])
		}
	}
}

// checkSilence looks for members that should have been missed.
func (s *wScheduler) checkSilence() {
	if s.term == nil {
		return
	}
	for id := range s.core.members {
		if s.silent[id] > liveness.LostTicks {
			s.w.broken("G7: %s is still a member after %d heartbeats without one of its own", id, s.silent[id])
		}
	}
}
