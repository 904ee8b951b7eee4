package sched

import (
	"slices"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// wScheduler is a scheduler's process: it has a Term while it believes that it leads.
type wScheduler struct {
	simtime.Process
	w       *termWorld
	id      string
	term    *Term
	books   *wBooks // of the term
	standby liveness.Succession
	inbox   simtime.Connection // of what front doors say and the broker says of them
	missed  uint64             // how often something of that may have been lost
	deaf    protocol.Time
	ahead   time.Duration // of its host's clock
	// question and query are the numbers of the last questions to the broker and to workers.
	question uint64
	query    protocol.ActionID
}

// now is the time of the scheduler's host.
func (s *wScheduler) now() protocol.Time { return s.w.Now.Add(s.ahead) }

func (s *wScheduler) begin() {
	w := s.w
	s.term, s.standby = nil, liveness.Succession{Self: s.id}
	s.Each(protocol.HeartbeatEvery, s.beat)
	s.Each(protocol.HeartbeatEvery, func() {
		if s.term != nil {
			s.books.heartbeatDue()
			s.step(&HeartbeatDue{})
		}
		if s.term != nil {
			s.checkSilence()
			s.checkPatience()
		}
	})
	s.Each(liveness.CampaignEvery, s.campaign)
	s.Each(liveness.RenewEvery, func() { // its renewal fails; until it hears so, it thinks that it leads
		w.After(w.UpTo(50*time.Millisecond), s.On(func() {
			if s.term != nil && w.lease.holder != s {
				s.end()
			}
		}))
	})
	s.Each(900*time.Millisecond, func() {
		if w.faulty() && w.rough {
			s.suffer()
		}
	})
}

// suffer draws a fault now and then.
func (s *wScheduler) suffer() {
	w := s.w
	switch p := w.RNG.Float64(); {
	case p < 0.06:
		s.Incarnation++
		s.end()
		w.After(w.UpTo(time.Second), s.begin)
	case p < 0.11:
		s.PausedUntil = w.Now.Add(w.UpTo(1500 * time.Millisecond))
	case p < 0.18: // it goes on when another one has just begun to lead
		s.PausedUntil = w.Now.Add(600*time.Millisecond + w.UpTo(300*time.Millisecond))
	case p < 0.22: // its connection breaks
		s.deaf = w.Now.Add(w.UpTo(200 * time.Millisecond))
		s.missed++
	case p < 0.26: // the store is lost
		w.lease.epoch = 0
		w.happened.lost++
	}
}

// beat tells everybody how the scheduler stands.
func (s *wScheduler) beat() {
	w := s.w
	if s.deaf > w.Now {
		return
	}
	h := protocol.Heartbeat{State: protocol.Standby}
	if s.term != nil {
		h = s.term.Heartbeat(w.Now)
	}
	h.Service, h.ID, h.Incarnation = protocol.Scheduler, s.id, uint64(s.Incarnation+1)
	for _, o := range w.schedulers {
		w.loose(o.On(func() { o.schedulerBeat(h) }))
	}
	for _, d := range w.doors {
		w.loose(d.On(func() { d.schedulerBeat(h) }))
	}
	w.loose(func() { w.controller.schedulerBeat(h) })
}

func (s *wScheduler) schedulerBeat(h protocol.Heartbeat) {
	s.standby.Heard(h.ID)
	if h.ID != s.id && s.term != nil {
		s.books.seen = max(s.books.seen, h.Epoch)
		s.step(&SchedulerBeat{h})
	}
}

// campaign takes the lease of a silent holder.
func (s *wScheduler) campaign() {
	w := s.w
	switch holder := w.lease.holder; {
	case s.term != nil || s.deaf > w.Now:
		return
	case holder == s: // it died and is back
		w.lease.holder = nil
		return
	case holder != nil && !s.standby.Silent(holder.id):
		return
	}
	for _, o := range w.schedulers {
		if o != s && o.term != nil {
			w.happened.twoLead++
		}
	}
	w.happened.takeovers++
	w.lease.epoch = protocol.NextTerm(time.Unix(0, int64(s.now())), w.lease.epoch)
	w.lease.given[w.lease.epoch] = true
	w.lease.holder = s
	s.lead(w.lease.epoch)
	s.beat()
}

// lead begins a term.
func (s *wScheduler) lead(epoch uint64) {
	core, err := New(s.w.policy, Defaults())
	if err != nil {
		panic(err) // the policy is our own
	}
	s.question += 1000
	s.books = newWBooks()
	s.term = NewTerm(core, TermConfig{Epoch: epoch, Issuer: epoch, Question: s.question, Missed: s.missed, Subjects: wSubjects})
	s.term.Observe = func(_ protocol.Time, e Event, _ *Output) { s.checkCore(e) }
}

var wSubjects = protocol.Subjects{Prefix: "clockwork"}

// hear takes what comes on the subject of submissions.
func (s *wScheduler) hear(e TermEvent) {
	s.inbox.Send(&s.w.Clock, s.On(func() {
		if s.deaf > s.w.Now {
			return
		}
		switch of := e.(type) {
		case *NoResponders:
			e = &NoResponders{of.FrontDoor, of.Question, s.missed}
		case *FrontDoorBeat:
			e = &FrontDoorBeat{of.Heartbeat, s.missed}
		}
		s.step(e)
	}))
}

// workerBeat takes a worker's heartbeat.
func (s *wScheduler) workerBeat(h protocol.Heartbeat) {
	if s.term == nil || s.deaf > s.w.Now {
		return
	}
	s.books.heard(h)
	s.step(&WorkerBeat{h})
}

// result takes a worker's result.
func (s *wScheduler) result(r protocol.Result) {
	if s.term != nil && s.term.config.Issuer == r.Issuer {
		s.step(&Result{r})
	}
}

// announced takes a worker that the controller announces; the answer is the epoch in which
// that was noted, 0 for none.
func (s *wScheduler) announced(w protocol.WorkerState) uint64 {
	if s.term == nil {
		return 0
	}
	s.books.announced[wInstance{w.ID, w.Incarnation}] = true
	s.step(&WorkerAnnounced{w})
	if s.term == nil {
		return 0
	}
	return s.term.Epoch()
}

func (s *wScheduler) step(e TermEvent) {
	if s.term == nil {
		return
	}
	w, t := s.w, s.term
	out := t.Step(s.now(), e)
	s.checkStep(e, out)
	for _, a := range out.Actions {
		a.Action.Requests = slices.Clone(a.Action.Requests)
		w.order(w.worker(a.Worker), a.Action)
	}
	for _, list := range [][]protocol.Dispatch{out.Dispatches, out.Refusals, out.Verdicts} {
		for _, d := range list {
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
		s.resign(out.Resign)
		return
	}
	if out.Activated {
		s.beat()
	}
	if out.Wake != protocol.Never {
		w.After(out.Wake.Sub(s.now()), s.On(func() {
			if s.term == t && out.Wake <= s.now() {
				s.step(&Tick{})
			}
		}))
	}
}

// end ends the term: what only it knew of front doors that are dead, nobody answers.
func (s *wScheduler) end() {
	s.term = nil
	for _, r := range s.w.requests { // map order does not matter
		r.excused = r.excused || r.door.dead
	}
}

// resign gives up the lease.
func (s *wScheduler) resign(why string) {
	s.checkResign(why)
	s.end()
	if s.w.lease.holder == s {
		s.w.lease.holder = nil
	}
}

// ask queries a worker, and waits for a while; some questions are lost.
func (s *wScheduler) ask(q WorkerQuestion) {
	w, t := s.w, s.term
	w.happened.asked++
	s.query++
	call := wCall{asker + uint64(s.id[1]), s.query}
	open := true
	answer := func(state *protocol.WorkerState, obeys uint64) {
		if open && s.term == t {
			open = false
			s.books.obeys(w, t, obeys)
			if state != nil {
				s.books.answered[wInstance{q.ID, q.Incarnation}] = true
			}
			s.step(&WorkerAnswered{WorkerQuestion: q, State: state, Obeys: obeys})
		}
	}
	w.calls[call] = func(r protocol.Result) { s.On(func() { answer(r.State, r.Epoch) })() }
	if !w.faulty() || w.chance(0.85) {
		w.order(w.worker(q.ID), protocol.Action{ID: call.id, Issuer: call.issuer, Kind: protocol.GetWorkerState, Incarnation: q.Incarnation, Epoch: q.Epoch,
			Lean: q.Lean, Latest: protocol.Never})
	}
	w.After(500*time.Millisecond, func() {
		delete(w.calls, call)
		s.On(func() { answer(nil, 0) })()
	})
}

// inquire has the broker look who listens on a front door's subjects, and tell every
// scheduler behind what the front door has said; some questions are lost.
func (w *termWorld) inquire(q FrontDoorQuestion) {
	for _, number := range []uint64{q.Dispatch, q.Output} {
		w.loose(func() {
			if d := w.doorOf(q.FrontDoor); d.Connected || w.faulty() && w.chance(0.2) {
				return
			}
			for _, s := range w.schedulers {
				s.hear(&NoResponders{FrontDoor: q.FrontDoor, Question: number})
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
		w.answered(a.Reply)
		if r := w.requests[a.Reply]; r.door.id != o.FrontDoor || r.seq != a.Seq {
			w.broken("G1: request %d of front door %d is answered on %s", a.Seq, o.FrontDoor, a.Reply)
		}
	}
	for _, other := range w.schedulers {
		other.hear(claim)
	}
}
