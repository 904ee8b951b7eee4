package frontdoor

import (
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// lease is what the schedulers campaign for.
type lease struct {
	holder *scheduler
	epoch  uint64
}

// scheduler is a process with a sched.Term while it leads, or thinks so.
type scheduler struct {
	process
	id      string
	term    *sched.Term
	standby liveness.Succession
	inbox   fifo // of what front doors say and the broker says of them
	deaf    protocol.Time
	missed  bool // something of that was lost
	dead    bool
}

func (s *scheduler) begin() {
	s.dead = false
	s.term, s.standby = nil, liveness.Succession{Self: s.id}
	s.each(protocol.HeartbeatEvery, s.beat)
	s.each(protocol.HeartbeatEvery, func() { s.step(&sched.HeartbeatDue{}) })
	s.each(liveness.CampaignEvery, s.campaign)
	s.each(300*time.Millisecond, s.start)
	s.each(2*time.Second/3, func() { // its renewal fails
		if s.w.lease.holder != s {
			s.term = nil
		}
	})
	s.each(900*time.Millisecond, s.trouble)
}

func (s *scheduler) trouble() {
	if !s.w.faulty() {
		return
	}
	switch n := s.w.rng.IntN(20); {
	case n == 0:
		s.die()
	case n < 4:
		s.still = s.w.now.Add(s.w.upTo(1500 * time.Millisecond))
	case n < 5: // its connection breaks
		s.deaf, s.missed = s.w.now.Add(s.w.upTo(200*time.Millisecond)), true
	}
}

// die ends the process; it begins anew after a while.
func (s *scheduler) die() {
	if s == nil || s.dead {
		return
	}
	s.life++
	s.term, s.dead = nil, true
	s.w.after(s.w.upTo(time.Second), s.begin)
}

// start has a term serve, from about the activation on.
func (s *scheduler) start() {
	if s.w.now.Add(200*time.Millisecond) > s.w.activation {
		s.step(&sched.Started{State: protocol.ClockworkState{Models: []protocol.ModelSpec{spec("a"), spec("b")}}})
	}
}

// beat tells everybody how the scheduler stands.
func (s *scheduler) beat() {
	w := s.w
	if s.deaf > w.now {
		return
	}
	h := protocol.Heartbeat{Service: protocol.Scheduler, ID: s.id, Incarnation: uint64(s.life + 1), State: protocol.Standby}
	if s.term != nil {
		h.Epoch, h.State = s.term.Epoch(), protocol.SchedulerReady
		if s.term.Active() {
			h.State = protocol.SchedulerActive
		}
	}
	for _, o := range w.schedulers {
		w.loose(o.on(func() { o.standby.Heard(h.ID) }))
	}
	for _, d := range w.doors {
		w.loose(func() {
			if d.connected {
				d.on(func() { d.schedulerBeat(h) })()
			}
		})
	}
}

// campaign takes the lease of a holder that is silent.
func (s *scheduler) campaign() {
	w := s.w
	switch holder := w.lease.holder; {
	case s.term != nil || s.deaf > w.now:
		return
	case holder == s: // it died and is back
		w.lease.holder = nil
		return
	case holder != nil && !s.standby.Silent(holder.id):
		return
	case holder != nil && holder.term != nil:
		w.happens("two lead")
	}
	w.happens("takeover")
	w.lease.epoch++
	w.lease.holder = s
	core := &planner{w: w, known: map[protocol.RequestID]bool{}}
	s.term = sched.NewTerm(core, sched.TermConfig{Epoch: w.lease.epoch, Issuer: w.lease.epoch, Question: 1000 * w.lease.epoch, Subjects: protocol.Subjects{Prefix: "clockwork"}})
	s.beat()
}

// hear takes what comes on the subject of submissions.
func (s *scheduler) hear(e sched.TermEvent) {
	s.inbox.send(s.w, s.on(func() {
		if s.deaf > s.w.now {
			return
		}
		if s.missed {
			s.missed = false
			s.step(&sched.MessagesMissed{})
		}
		s.step(e)
	}))
}

func (s *scheduler) step(e sched.TermEvent) {
	if s.term == nil {
		return
	}
	w, t := s.w, s.term
	out := t.Step(w.now, e)
	for _, list := range [][]protocol.Dispatch{out.Dispatches, out.Refusals} {
		for _, x := range list {
			w.after(w.decisionTakes(), func() { w.dispatch(x) })
		}
	}
	for _, x := range out.Verdicts {
		w.dispatch(x)
	}
	for _, q := range out.Questions {
		w.inquire(q)
	}
	for _, o := range out.Owed {
		s.answerFor(o)
	}
	if out.Activated {
		s.beat()
	}
	if wake := out.Wake; wake != protocol.Never {
		w.after(wake.Sub(w.now), s.on(func() {
			if s.term == t {
				s.step(&sched.Tick{})
			}
		}))
	}
}

// decisionTakes is how long a scheduler thinks; some decisions come too late.
func (w *world) decisionTakes() time.Duration {
	if w.one(8) {
		return w.upTo(400 * time.Millisecond)
	}
	return w.upTo(10 * time.Millisecond)
}

// dispatch brings a front door a decision or a word. Core NATS may lose and double it.
func (w *world) dispatch(x protocol.Dispatch) {
	d := w.doorOf(x.ID.Door)
	if w.one(100) { // it goes astray
		d = w.someDoor()
	}
	if d == nil {
		return
	}
	copies := 1
	if w.faulty() && w.one(40) {
		copies = 2 * w.rng.IntN(2)
	}
	for range copies {
		d.toDoor(func() {
			if x.Kind != protocol.ToWorker {
				d.mindConnection()
			}
			d.step(&Dispatched{x})
		})
	}
	if x.Kind == protocol.ToWorker {
		w.runUnasked(d, x)
	}
}

// inquire has the broker look who listens on a front door's subjects, and tell every
// scheduler behind what the front door has said.
func (w *world) inquire(q sched.FrontDoorQuestion) {
	for _, number := range []uint64{q.Dispatch, q.Output} {
		w.loose(func() {
			if d := w.doorOf(q.FrontDoor); d != nil && d.connected {
				return
			}
			for _, s := range w.schedulers {
				s.hear(&sched.NoResponders{FrontDoor: q.FrontDoor, Question: number})
			}
		})
	}
}

// answerFor claims and answers for a front door.
func (s *scheduler) answerFor(o sched.OwedAnswers) {
	claim := &sched.AnswersReported{FrontDoor: o.FrontDoor, Epoch: s.term.Epoch()}
	for _, a := range o.Answers {
		s.w.happens("answered for the lost")
		claim.Answered = append(claim.Answered, a.Seq)
		s.w.answered(a.Reply, 0, protocol.FrontDoorLost)
	}
	for _, other := range s.w.schedulers {
		other.hear(claim)
	}
}

// planner is a policy that decides by the dice.
type planner struct {
	sched.Core
	w     *world
	known map[protocol.RequestID]bool
}

func (p *planner) Step(_ protocol.Time, e sched.Event) sched.Output {
	out := sched.Output{Wake: protocol.Never}
	s, is := e.(*sched.Submit)
	if !is || p.known[s.ID] {
		return out
	}
	p.known[s.ID] = true
	d := protocol.Dispatch{ID: s.ID}
	switch n := p.w.rng.IntN(40); {
	case n < 2:
		d.Kind, d.Refusal = protocol.Refuse, protocol.Refusal([]protocol.Code{protocol.Overloaded, protocol.WorkerLost}[n])
	case n == 2:
		d.Kind = protocol.Refuse
	case n == 3:
		d.Kind, d.Refusal = protocol.Refuse, &protocol.Error{Code: "UNHEARD_OF"}
	case n == 4:
		d.Kind = protocol.Answer
	case n == 5: // it forgets the request
		return out
	default:
		d.Kind, d.Worker, d.Cold = protocol.ToWorker, p.w.worker(), n == 6
		if n == 7 {
			d.Worker = "no name"
		}
	}
	out.Dispatches = append(out.Dispatches, d)
	if d.Kind == protocol.ToWorker && p.w.one(8) { // the worker is lost: it runs elsewhere
		d.Worker = p.w.worker()
		out.Dispatches = append(out.Dispatches, d)
	}
	return out
}

func (p *planner) Stats() sched.Stats { return sched.Stats{} }
func (p *planner) String() string     { return "" }
