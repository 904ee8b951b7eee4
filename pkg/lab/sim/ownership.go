package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/liveness"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// This file is who answers a request where front doors die and brokers restart, by the
// contract in package protocol (who answers a request): front doors claim requests before
// they answer them, and the scheduler answers for those that are lost.

// ownership is a front door's connection to the broker.
type ownership struct {
	dead bool
	// muted: it died behind its last claims, and before their answers.
	muted bool
	// disconnectedUntil is until when it is not connected. session counts the connections, and last is
	// when the last message on this one arrives: they arrive in order.
	disconnectedUntil protocol.Time
	session           int
	cuts              uint64 // of the connection
	last              protocol.Time
	watch             liveness.Watch // of the schedulers
	inboxes           uint64         // given to clients
}

// owned is who owns the answer of a request.
type owned struct {
	door      *door // that got it; nil before
	inbox     string
	answers   int  // that its client got
	claimed   bool // its front door has told the scheduler that it answers
	abandoned bool // it may get no answer: its front door died, or a connection broke
	over      bool // its client waits no longer
	// heard is the scheduler that got it last, and when; nil for none.
	heard   *scheduler
	heardAt protocol.Time
}

// owning reports whether front doors may die, or lose their connections.
func (s *world) owning() bool {
	return s.config.Faults.FrontDoor.Every > 0 || s.config.Faults.Broker.Every > 0
}

func (d *door) away() bool { return d.dead || d.disconnectedUntil > d.world.now }

// someDoor is the front door that gets a request, nil for none. One that has seen no
// scheduler would store the request in the startup buffer, which the worlds of
// pkg/core/frontdoor play.
func (s *world) someDoor(r *request) *door {
	if !s.owning() || r.early {
		return s.doors[0]
	}
	var open []*door
	for _, d := range s.doors {
		if !d.away() && d.core.LastEpoch() != 0 {
			open = append(open, d)
		}
	}
	if len(open) == 0 {
		return nil
	}
	d := open[s.faults.doorRNG.IntN(len(open))]
	d.inboxes++
	r.door = d
	r.inbox = fmt.Sprintf("_INBOX.client.%d-%d", d.id, d.inboxes)
	s.inboxes[r.inbox] = r
	d.inbound.Reply = r.inbox
	return d
}

// abandonAfter is how long the client of a request that may get no answer waits after its
// deadline: longer than the scheduler takes to answer for a lost front door.
const abandonAfter = 5 * time.Second

// abandon lets the client of a request go that may get no answer.
func (s *world) abandon(r *request) {
	if r.abandoned || r.answers > 0 {
		return
	}
	r.abandoned = true
	s.later(max(0, r.deadline.Sub(s.now))+abandonAfter, func() {
		if r.answers > 0 {
			return
		}
		r.over = true
		s.checkAbandoned(r)
		s.report.Faults.Unanswered++
		s.source.Done(r.arrival, s.now.Add(-time.Duration(s.zero)))
		s.open--
	})
}

// checkAbandoned: a scheduler that had the request, and has missed nothing since, answers
// for a front door that died before it claimed the request. One that was only cut off may
// have to leave an answer to a scheduler that is gone: no answer is better than two.
func (s *world) checkAbandoned(r *request) {
	if x := r.heard; x != nil && x == s.scheduler && !r.claimed && r.door.dead && r.door.cuts == 0 && !x.silent() && x.missedAt < r.heardAt && s.undisturbedSince < r.heardAt {
		s.broken("G1", "a request of a lost front door that scheduler %d has had since %v is not answered", x.epoch, r.heardAt)
	}
}

// replied delivers an answer to a client.
func (s *world) replied(r *request, code protocol.Code) {
	if r.answers++; r.answers > 1 {
		s.broken("G1", "a request has %d answers, the last one is %s", r.answers, code)
	}
	if r.answers == 1 && !r.over {
		s.answered(r, code)
	}
}

// say publishes on the front door's connection, in order. What is under way when the
// connection breaks is lost.
func (d *door) say(do func(), lost func()) {
	s := d.world
	if d.away() {
		lost()
		return
	}
	d.last = max(d.last, s.now.Add(s.network.delay()))
	session := d.session
	s.later(d.last.Sub(s.now), func() {
		if d.session == session {
			do()
		} else {
			lost()
		}
	})
}

func nothing() {}

// tell publishes to every scheduler.
func (d *door) tell(e sched.TermEvent) {
	s := d.world
	d.say(func() { s.schedulers(func(x *scheduler) { x.hear(e) }) }, nothing)
}

// hear takes what front doors say, and what the broker says of them.
func (x *scheduler) hear(e sched.TermEvent) {
	if x.disconnectedUntil > x.world.now {
		x.missed++
		return
	}
	switch of := e.(type) {
	case *sched.NoResponders:
		e = &sched.NoResponders{FrontDoor: of.FrontDoor, Question: of.Question, Missed: x.missed}
	case *sched.FrontDoorBeat:
		e = &sched.FrontDoorBeat{Heartbeat: of.Heartbeat, Missed: x.missed}
	}
	x.step(e)
}

// submitTo submits a request in a batch of this epoch.
func (d *door) submitTo(epoch uint64, r *frontdoor.Request) {
	s, client := d.world, r.Driver.(*request)
	e := &sched.Submitted{Submitted: r.Submission(s.now), Epoch: epoch}
	d.say(func() {
		s.schedulers(func(x *scheduler) {
			if x == s.scheduler && x.serving() && !x.silent() && x.disconnectedUntil <= s.now {
				client.heard, client.heardAt = x, s.now
			}
			if x.started() {
				x.hear(&sched.AnswersReported{FrontDoor: d.id, Epoch: epoch})
				x.hear(e)
			}
		})
	}, nothing)
}

// claim tells the scheduler which requests the front door answers now.
func (d *door) claim(ended []frontdoor.Ended) {
	if !d.world.owning() {
		return
	}
	claim := &sched.AnswersReported{FrontDoor: d.id, Epoch: d.core.LastEpoch()}
	for i := range ended {
		if e := &ended[i]; e.Claim {
			claim.Answered = append(claim.Answered, e.Request.ID.Seq)
			e.Request.Driver.(*request).claimed = true
		}
	}
	if len(claim.Answered) > 0 {
		d.tell(claim)
	}
}

// reply sends an answer on the connection, behind its claim.
func (d *door) reply(r *request, code protocol.Code) {
	s := d.world
	lost := func() { s.abandon(r) }
	d.say(func() {
		if d.muted {
			lost()
			return
		}
		s.replied(r, code)
	}, lost)
}

// beat sends the front door's heartbeat.
func (d *door) beat() {
	h := d.core.Heartbeat(protocol.FrontDoorOpen)
	h.Service, h.ID = protocol.FrontDoor, protocol.DoorName(d.id)
	d.tell(&sched.FrontDoorBeat{Heartbeat: h})
}

// carryOutOwed carries out what a term wants done about front doors.
func (x *scheduler) carryOutOwed(out *sched.TermOutput) {
	s := x.world
	for _, v := range out.Verdicts {
		s.send(nil, s.network.delay(), event{kind: called, of: func() {
			if d := s.doors[v.ID.Door-1]; !d.away() {
				d.step(&frontdoor.Dispatched{Dispatch: v})
			}
		}})
	}
	for _, q := range out.Questions {
		for _, number := range []uint64{q.Dispatch, q.Output} {
			s.later(s.network.delay(), func() { s.inquire(q.FrontDoor, number) })
		}
	}
	for _, o := range out.Owed {
		claim := &sched.AnswersReported{FrontDoor: o.FrontDoor, Epoch: x.epoch}
		for _, a := range o.Answers {
			claim.Answered = append(claim.Answered, a.Seq)
			s.report.Faults.Owed++
			r := s.inboxes[a.Reply]
			s.later(s.network.delay(), func() { s.replied(r, protocol.FrontDoorLost) })
		}
		s.later(s.network.delay(), func() { s.schedulers(func(other *scheduler) { other.hear(claim) }) })
	}
}

// inquire has the broker say that nobody subscribes to a front door's subjects, behind
// what the front door has said.
func (s *world) inquire(id, number uint64) {
	d := s.doors[id-1]
	if !d.away() || s.brokerBack > s.now {
		return
	}
	s.later(max(0, d.last.Sub(s.now))+s.network.delay(), func() {
		s.schedulers(func(x *scheduler) { x.hear(&sched.NoResponders{FrontDoor: id, Question: number}) })
	})
}

// startDoors starts the heartbeats of the front doors that may die.
func (t *faultInjector) startDoors() {
	s := t.world
	if !s.owning() {
		return
	}
	s.newDoor()
	t.each(s.config.pace.heartbeat, func() {
		for _, d := range s.doors {
			d.beat()
		}
	})
}

// killDoor kills a front door, or cuts it off for a while that may be long enough for the
// scheduler to take it for dead. What it has said may arrive or not; of its last answers,
// those that were behind the claims in its socket may be lost alone.
func (t *faultInjector) killDoor(rng *rand.Rand, length time.Duration) {
	s := t.world
	d := s.doors[rng.IntN(len(s.doors))]
	if !s.begun || d.away() {
		return
	}
	s.report.Faults.FrontDoors++
	switch rng.IntN(6) {
	case 0, 1:
		s.report.Faults.DoorCuts++
		d.loseConnection(s.now.Add(4 * length))
		return
	case 2:
		d.session++ // what it said last is lost as well
	case 3:
		d.muted = true
	}
	d.dead = true
	d.abandonAll()
	s.later(length, func() { s.newDoor() })
}

// restartBroker ends all connections, with what is under way on them. They come back one by
// one.
func (t *faultInjector) restartBroker(rng *rand.Rand, length time.Duration) {
	s := t.world
	if s.brokerBack > s.now {
		return
	}
	s.report.Faults.Brokers++
	s.brokerBack, s.lostBefore = s.now.Add(length), s.events.seq
	back := func() protocol.Time { return s.brokerBack.Add(between(rng, 0, reconnectWithin)) }
	for _, h := range s.hosts {
		h.cutOff, h.missed = max(h.cutOff, back()), s.now
	}
	s.schedulers(func(x *scheduler) {
		x.disconnectedUntil = back()
		x.missed++
		s.undisturbedSince = max(s.undisturbedSince, x.disconnectedUntil)
	})
	for _, d := range s.doors {
		d.loseConnection(back())
	}
}

// reconnectWithin is how long after the broker's return a client connects to it again.
const reconnectWithin = 250 * time.Millisecond

// loseConnection breaks a front door's connection until an instant.
func (d *door) loseConnection(until protocol.Time) {
	if d.dead {
		return
	}
	s := d.world
	d.session++
	d.cuts++
	d.disconnectedUntil = until
	d.abandonAll()
	d.reportConnection()
	s.later(until.Sub(s.now), func() {
		if back := !d.away() && !d.core.Connection().Up; back {
			d.last = s.now
		}
		d.reportConnection()
	})
}

// reportConnection reports how the front door's connection stands, if that is news.
func (d *door) reportConnection() {
	now := frontdoor.Connection{Up: !d.away(), Breaks: d.cuts}
	if now != d.core.Connection() {
		d.step(&now)
	}
}

// abandonAll abandons what the front door had to answer.
func (d *door) abandonAll() {
	s := d.world
	for n := uint64(1); n <= d.inboxes; n++ {
		if r := s.inboxes[fmt.Sprintf("_INBOX.client.%d-%d", d.id, n)]; r != nil && r.answers == 0 {
			s.abandon(r)
		}
	}
}
