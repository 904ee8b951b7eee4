package scheduler

import (
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// What is said to and of front doors. A door that is missed may be dead, stopped
// or cut off, and in the last two cases what it has said may still arrive, or it
// may go on. So before the scheduler answers for it, it asks the broker who
// listens on the door's two subjects. Nobody means that both of its connections
// are gone: all it ever said has been heard here before that answer, which comes
// on the same subject, and what it may say on a new connection it does not say
// of requests that are due.

// onSubmit takes what doors say, and what the broker says of them.
func (t *term) onSubmit(m *nats.Msg) {
	door, err := protocol.ParseDoor(t.bus.Subjects.Token(m.Subject, 2))
	if err != nil {
		t.bus.Log.Warn("bad submission", "subject", m.Subject, "error", "no front door is called so")
		return
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == noResponders {
		t.locked(func() { t.nobodyListens(door, t.bus.Subjects.Token(m.Subject, 3)) })
		return
	}
	b, fault := wire.Submissions.Decode(m.Data)
	if fault == nil && b.Door != door {
		fault = protocol.Errorf(protocol.BadMessage, "it says that it is of %s", protocol.DoorName(b.Door))
		b = protocol.SubmissionBatch{}
	}
	if fault != nil {
		t.bus.Log.Warn("bad submission", "subject", m.Subject, "error", fault)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || !t.started {
		return // front doors submit again what they have once an epoch is active
	}
	t.keep(&b)
	for i := range b.Requests {
		t.tellTraced(&b.Requests[i])
		t.submit.Submission = b.Requests[i].Submission
		t.step(&t.submit)
	}
	t.flushLast(m.Sub, len(b.Requests))
}

// noResponders is the broker's status for a request that nobody listens to.
const noResponders = "503"

// keep brings the ledgers up to date. A door that speaks to another epoch is that
// scheduler's to answer for.
func (t *term) keep(b *protocol.SubmissionBatch) {
	if b.Epoch != t.epoch.Load() {
		t.ledgers.drop(b.Door)
		return
	}
	t.ledgers.answered(b.Door, b.Answered)
	known := t.ledgers.doors[b.Door] != nil
	for i := range b.Requests {
		r := &b.Requests[i]
		if r.Reply == "" || len(r.Reply) > protocol.MaxReply || !t.bus.Subjects.IsClients(r.Reply) {
			continue
		}
		if !t.ledgers.submitted(clock.Now(), r) && !t.tooMany {
			t.tooMany = true
			t.bus.Log.Warn("if front doors die, not all of their requests will be answered: too many wait", "limit", maxWaiting)
		}
	}
	if !known && t.ledgers.doors[b.Door] != nil && t.doorBeats != nil { // it may die before its heart was heard
		t.doorBeats.Expect(protocol.Heartbeat{Service: protocol.FrontDoor, ID: protocol.DoorName(b.Door), Incarnation: b.Door})
	}
}

func (t *term) doorBeat(h protocol.Heartbeat) {
	door, err := protocol.ParseDoor(h.ID)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checkHearing()
	t.ledgers.heard(clock.Now(), door)
}

func (t *term) doorLost(h protocol.Heartbeat) {
	door, err := protocol.ParseDoor(h.ID)
	if err != nil {
		return
	}
	delete(t.doors, door)
	t.step(&sched.DoorLost{Door: door})
	if of := t.ledgers.doors[door]; of != nil {
		t.bus.Log.Warn("front door lost", "door", h.ID, "unanswered", len(of.clients))
		of.lost, of.since = true, clock.Now()
		t.pursue(of)
	}
}

// How often, and for how long, the broker is asked about a door that is missed.
const (
	askEvery = 500 * time.Millisecond
	askFor   = 10 * time.Minute
)

// pursue does what is next for a door that is missed: it asks about the door
// when requests are due, and sleeps until then.
func (t *term) pursue(of *ledger) {
	if t.ended || !of.lost || t.ledgers.doors[of.door] != of {
		return
	}
	now, next := clock.Now(), of.next()
	if next == protocol.Never || now.Sub(of.since) > askFor {
		t.ledgers.drop(of.door)
		return
	}
	if next <= now {
		t.question++
		of.question, of.asked, of.nobody = t.question, now, 0
		t.inquire(of)
		next = now.Add(askEvery)
	}
	if of.timer != nil {
		of.timer.Stop()
	}
	of.timer = time.AfterFunc(next.Sub(now), func() { t.locked(func() { t.pursue(of) }) })
}

// nobody stands for a worker where a door is sent nothing.
const nobody = "nobody"

// inquire sends nothing to both subjects of a door. Where nobody listens the broker
// says so; a door that lives does not mind.
func (t *term) inquire(of *ledger) {
	answer := t.bus.Subjects.Submit(of.door) + "." + strconv.FormatUint(of.question, 10)
	for subject, nothing := range map[string][]byte{
		t.bus.Subjects.Dispatch(of.door):         wire.Dispatches.Encode(&[]protocol.Dispatch{}),
		t.bus.Subjects.OutputOf(of.door, nobody): wire.Outputs.Encode(&[]protocol.Output{}),
	} {
		if err := t.bus.Control.PublishRequest(subject, answer, nothing); err != nil {
			t.bus.Log.Debug("not asked about a front door", "error", err) // later again
		}
	}
}

// nobodyListens takes the broker's answer about one subject of a door.
func (t *term) nobodyListens(door uint64, question string) {
	of := t.ledgers.doors[door]
	if of == nil || !of.lost || question != strconv.FormatUint(of.question, 10) {
		return
	}
	if of.nobody++; of.nobody != 2 || !t.checkHearing() {
		return
	}
	list := t.ledgers.due(of, of.asked)
	t.bus.Log.Warn("answering for a front door", "door", protocol.DoorName(door), "requests", len(list))
	t.asking.Go(func() { t.answerFor(door, list) })
	t.pursue(of)
}

// checkHearing forgets the ledgers if something that doors said may have been
// missed, and reports whether nothing was: no answer is better than two.
func (t *term) checkHearing() bool {
	missed := t.bus.Reconnects() + uint64(t.bus.Dropped())
	if missed == t.missed {
		return true
	}
	t.missed = missed
	if n := t.ledgers.clear(); n > 0 {
		t.bus.Log.Warn("the connection was broken: if their front door dies, these requests are not answered", "requests", n)
	}
	return false
}

// answerFor gives the replies that a door owed. Other schedulers that may know of
// these requests hear it first, as they do from doors.
func (t *term) answerFor(door uint64, list []owed) {
	for part := range slices.Chunk(list, maxDispatches) {
		b := protocol.SubmissionBatch{Door: door, Epoch: t.epoch.Load()}
		for _, x := range part {
			b.Answered = append(b.Answered, x.seq)
		}
		err := bus.Publish(t.bus.Control, wire.Submissions, t.bus.Subjects.Submit(door), &b)
		for i := 0; err == nil && i < len(part); i++ {
			err = t.bus.Control.PublishMsg(part[i].refusal(door))
		}
		if err != nil {
			t.bus.Log.Warn("requests of a lost front door not answered", "door", protocol.DoorName(door), "error", err)
			return
		}
	}
}

func (x owed) refusal(door uint64) *nats.Msg {
	encoding := protocol.Msgpack
	if x.json {
		encoding = protocol.JSON
	}
	return bus.ErrorReply(encoding, x.reply, protocol.Errorf(protocol.FrontDoorLost, "front door %s was lost while it had the request", protocol.DoorName(door)))
}
