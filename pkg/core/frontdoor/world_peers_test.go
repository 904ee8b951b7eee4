package frontdoor

import (
	"slices"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// lease is the schedulers' lease.
type lease struct {
	holder *scheduler
	epoch  uint64
}

// scheduler is a process that has a sched.Term while it believes that it leads.
type scheduler struct {
	simtime.Process
	w       *world
	id      string
	term    *sched.Term
	standby liveness.Succession
	inbox   simtime.Connection // messages of front doors, and of the broker about them
	deaf    protocol.Time
	missed  uint64 // how often messages may have been lost
	dead    bool
}

func (s *scheduler) begin() {
	s.dead = false
	s.term, s.standby = nil, liveness.Succession{Self: s.id}
	s.Each(protocol.HeartbeatEvery, s.beat)
	s.Each(protocol.HeartbeatEvery, func() { s.step(&sched.HeartbeatDue{}) })
	s.Each(liveness.CampaignEvery, s.campaign)
	s.Each(300*time.Millisecond, s.start)
	s.Each(liveness.RenewEvery, func() { // its renewal fails
		if s.w.lease.holder != s {
			s.term = nil
		}
	})
	s.Each(900*time.Millisecond, s.injectFaults)
}

func (s *scheduler) injectFaults() {
	if !s.w.faulty() {
		return
	}
	switch n := s.w.RNG.IntN(20); {
	case n == 0:
		s.crash()
	case n < 4:
		s.PausedUntil = s.w.Now.Add(s.w.UpTo(1500 * time.Millisecond))
	case n == 4: // its connection breaks
		s.deaf = s.w.Now.Add(s.w.UpTo(200 * time.Millisecond))
		s.missed++
	}
}

// crash ends the process; it is restarted after a while.
func (s *scheduler) crash() {
	if s == nil || s.dead {
		return
	}
	s.Incarnation++
	s.term, s.dead = nil, true
	s.w.After(s.w.UpTo(time.Second), s.begin)
}

// start starts the term shortly before the activation or later.
func (s *scheduler) start() {
	if s.w.Now.Add(200*time.Millisecond) > s.w.activation {
		s.step(&sched.Started{State: protocol.ClockworkState{Models: []protocol.ModelSpec{spec("a"), spec("b")}}})
	}
}

// beat sends a heartbeat to front doors and schedulers.
func (s *scheduler) beat() {
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
		w.loose(o.On(func() {
			o.standby.Heard(h.ID)
			if o != s {
				o.step(&sched.SchedulerBeat{Heartbeat: h})
			}
		}))
	}
	for _, d := range w.frontDoors {
		w.loose(func() {
			if d.Connected {
				d.On(func() { d.schedulerBeat(h) })()
			}
		})
	}
}

// campaign takes the lease of a silent holder.
func (s *scheduler) campaign() {
	w := s.w
	switch holder := w.lease.holder; {
	case s.term != nil || s.deaf > w.Now:
		return
	case holder == s: // it restarted
		w.lease.holder = nil
		return
	case holder != nil && !s.standby.Silent(holder.id):
		return
	case holder != nil && holder.term != nil:
		w.count("two lead")
	}
	w.count("takeover")
	w.lease.epoch++
	w.lease.holder = s
	core := &planner{w: w, epoch: w.lease.epoch, known: map[protocol.RequestID]bool{}, queue: map[protocol.RequestID]bool{}}
	s.term = sched.NewTerm(core, sched.TermConfig{Epoch: w.lease.epoch, Issuer: w.lease.epoch, Question: 1000 * w.lease.epoch, Missed: s.missed, Subjects: protocol.Subjects{Prefix: "clockwork"}})
	s.beat()
}

// hear receives a message on the subject of submissions.
func (s *scheduler) hear(e sched.TermEvent) {
	s.inbox.Send(&s.w.Clock, s.On(func() {
		if s.deaf > s.w.Now {
			return
		}
		switch of := e.(type) {
		case *sched.NoResponders:
			e = &sched.NoResponders{FrontDoor: of.FrontDoor, Question: of.Question, Missed: s.missed}
		case *sched.FrontDoorBeat:
			e = &sched.FrontDoorBeat{Heartbeat: of.Heartbeat, Missed: s.missed}
		}
		s.step(e)
	}))
}

func (s *scheduler) step(e sched.TermEvent) {
	if s.term == nil {
		return
	}
	w, t := s.w, s.term
	out := t.Step(w.Now, e)
	actions := slices.Clone(out.Actions) // one for each dispatch to a worker, in order
	for _, x := range slices.Concat(out.Dispatches, out.Refusals) {
		takes := w.decisionTime()
		if x.Kind == protocol.ToWorker {
			a := actions[0]
			actions = actions[1:]
			w.After(takes, func() { w.act(a) })
		}
		w.After(takes, func() { w.dispatch(x) })
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
	if out.Resign != "" {
		w.count("resigned")
		s.term = nil
		return
	}
	if wake := out.Wake; wake != protocol.Never {
		w.After(wake.Sub(w.Now), s.On(func() {
			if s.term == t {
				s.step(&sched.Tick{})
			}
		}))
	}
}

// decisionTime is the delay of a decision; some are too late.
func (w *world) decisionTime() time.Duration {
	if w.oneIn(8) {
		return w.UpTo(400 * time.Millisecond)
	}
	return w.UpTo(10 * time.Millisecond)
}

// dispatch sends a front door a decision or the answer to a question. The notice of a
// dispatch may be slower than the worker.
func (w *world) dispatch(x protocol.Dispatch) {
	d := w.frontDoorByID(x.ID.Door)
	if w.oneIn(100) { // to the wrong front door
		d = w.someFrontDoor()
	}
	if d == nil {
		return
	}
	copies := 1
	if w.faulty() && w.oneIn(40) {
		copies = 2 * w.RNG.IntN(2)
	}
	send := func() {
		for range copies {
			d.deliver(func() { d.checkedStep(&Dispatched{x}) })
		}
	}
	if x.Kind != protocol.ToWorker {
		send()
		return
	}
	if w.faulty() && w.oneIn(30) {
		w.forge(x.ID)
	}
	slower := time.Duration(0)
	if w.oneIn(3) {
		slower = w.UpTo(80 * time.Millisecond)
	}
	w.After(slower, send)
}

// inquire has the broker report whether a front door is subscribed, behind the front
// door's own messages.
func (w *world) inquire(q sched.FrontDoorQuestion) {
	for _, number := range []uint64{q.Dispatch, q.Output} {
		w.loose(func() {
			if d := w.frontDoorByID(q.FrontDoor); d != nil && d.Connected {
				return
			}
			for _, s := range w.schedulers {
				s.hear(&sched.NoResponders{FrontDoor: q.FrontDoor, Question: number})
			}
		})
	}
}

// answerFor answers for a lost front door, after it reported that to all schedulers.
func (s *scheduler) answerFor(o sched.OwedAnswers) {
	claim := &sched.AnswersReported{FrontDoor: o.FrontDoor, Epoch: s.term.Epoch()}
	for _, a := range o.Answers {
		s.w.count("answered for the lost")
		claim.Answered = append(claim.Answered, a.Seq)
		s.w.answered(a.Reply, 0, protocol.FrontDoorLost)
	}
	for _, other := range s.w.schedulers {
		other.hear(claim)
	}
}

// planner is a policy that decides at random, since a front door must bear any decision.
type planner struct {
	sched.Core
	w       *world
	epoch   uint64 // and issuer of its actions
	actions protocol.ActionID
	known   map[protocol.RequestID]bool
	queue   map[protocol.RequestID]bool // without a decision
}

func (p *planner) Step(_ protocol.Time, e sched.Event) sched.Output {
	out := sched.Output{Wake: protocol.Never}
	if e, is := e.(*sched.Withdraw); is && p.queue[e.ID] {
		delete(p.queue, e.ID)
		out.Refusals = append(out.Refusals, protocol.Dispatch{ID: e.ID, Kind: protocol.Refuse, Refusal: protocol.Refusal(protocol.Cancelled)})
		return out
	}
	s, is := e.(*sched.Submit)
	if !is || p.known[s.ID] {
		return out
	}
	p.known[s.ID] = true
	d := protocol.Dispatch{ID: s.ID}
	switch n := p.w.RNG.IntN(40); {
	case n < 2:
		d.Kind, d.Refusal = protocol.Refuse, protocol.Refusal([]protocol.Code{protocol.Overloaded, protocol.WorkerLost}[n])
	case n == 2:
		d.Kind = protocol.Refuse
	case n == 3:
		d.Kind, d.Refusal = protocol.Refuse, &protocol.Error{Code: "UNHEARD_OF"}
	case n == 4:
		d.Kind = protocol.Answer
	case n == 5 || n > 32: // no decision
		p.queue[s.ID] = true
		return out
	default:
		d.Kind, d.Worker, d.Cold = protocol.ToWorker, p.w.someWorker(), n == 6
		if n == 7 {
			d.Worker = "no name"
		}
		out.Actions = append(out.Actions, p.infer(d.Worker, &s.Submission))
	}
	out.Dispatches = append(out.Dispatches, d)
	if d.Kind == protocol.ToWorker && p.w.oneIn(8) { // replanned on another worker
		d.Worker, d.Crashes = p.w.someWorker(), s.Crashes+uint8(p.w.RNG.IntN(2))
		out.Dispatches = append(out.Dispatches, d)
		out.Actions = append(out.Actions, p.infer(d.Worker, &s.Submission))
	}
	return out
}

// infer is the action that executes a request, which may be too late or too early for its input.
func (p *planner) infer(worker string, s *protocol.Submission) sched.Addressed {
	p.actions++
	return sched.Addressed{Worker: worker, Action: protocol.Action{ID: p.actions, Issuer: p.epoch, Epoch: p.epoch, Kind: protocol.Infer,
		GPU: p.w.RNG.IntN(workerGPUs), Model: s.Model, Batch: s.Batch, Earliest: p.w.Now, Latest: p.w.Now.Add(p.w.UpTo(time.Second)),
		Requests: []protocol.RequestRef{{ID: s.ID, Batch: s.Batch, Generated: s.Generated}}}}
}

func (p *planner) Stats() sched.Stats                                    { return sched.Stats{} }
func (p *planner) Unavailable() []string                                 { return nil }
func (p *planner) Capacity(protocol.Time) protocol.Capacity              { return protocol.Capacity{GPUs: 1} }
func (p *planner) Quarantined(protocol.Time) []protocol.QuarantinedModel { return nil }
func (p *planner) String() string                                        { return "" }
