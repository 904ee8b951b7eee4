package scheduler

import (
	"errors"
	"strconv"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// This file decodes the messages to a scheduler and turns them into events of
// the core.

// listen subscribes to all messages for a scheduler.
func (t *term) listen() (stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	t.caller = t.bus.NewCaller(bus.RandomID(), sched.AnswerWait)
	add := func(subscription *nats.Subscription, failed error) {
		if err == nil {
			err = failed
		}
		if failed == nil {
			stops = append(stops, func() { _ = subscription.Unsubscribe() })
		}
	}
	s := t.bus.Subjects
	add(t.bus.Subscribe(t.bus.Control, s.Submissions(), t.onSubmit))
	add(t.bus.Subscribe(t.bus.Control, s.Result("*"), t.onResult))
	add(t.bus.Subscribe(t.bus.Control, s.Clock("*"), t.onClock))
	add(t.bus.Subscribe(t.bus.Payload, s.SchedulerStart(), t.onStart))
	add(t.bus.Subscribe(t.bus.Payload, s.SchedulerJoin(), t.onJoin))
	add(t.bus.Answer(protocol.Scheduler, t.answer))
	add(t.bus.OnHeartbeats(protocol.Worker, func(h protocol.Heartbeat) { t.take(&sched.WorkerBeat{Heartbeat: h}) }))
	add(t.bus.OnHeartbeats(protocol.FrontDoor, t.onFrontDoorBeat))
	return stop, err
}

// onSubmit takes submissions of front doors, and the broker's replies to
// queryResponders.
func (t *term) onSubmit(m *nats.Msg) {
	door, err := protocol.ParseDoor(t.bus.Subjects.Token(m.Subject, 2))
	if err != nil {
		t.bus.BadMessage("bad submission", m.Subject, errors.New("no front door is called so"))
		return
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == noResponders {
		t.onNoResponders(door, t.bus.Subjects.Token(m.Subject, 3))
		return
	}
	b, fault := wire.Submissions.Decode(m.Data)
	if fault == nil && b.Door != door {
		fault = protocol.Errorf(protocol.BadMessage, "the batch names front door %s", protocol.DoorName(b.Door))
	}
	if fault != nil {
		t.bus.BadMessage("bad submission", m.Subject, fault)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || !t.core.Started() {
		return // front doors submit their open requests again once an epoch is active
	}
	t.report = sched.AnswersReported{FrontDoor: door, Epoch: b.Epoch, Answered: b.Answered}
	t.step(&t.report)
	for _, seq := range b.Withdrawn {
		t.step(&sched.Withdraw{ID: protocol.RequestID{Door: door, Seq: seq}})
	}
	for i := range b.Requests {
		t.reportTraced(&b.Requests[i])
		t.submit = sched.Submitted{Submitted: b.Requests[i], Epoch: b.Epoch}
		t.step(&t.submit)
	}
	t.flushLast(m.Sub, len(b.Requests)+len(b.Withdrawn))
}

// noResponders is the broker's status for a request without a subscriber.
const noResponders = "503"

// onNoResponders takes the broker's reply to queryResponders.
func (t *term) onNoResponders(door uint64, number string) {
	question, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.step(&sched.NoResponders{FrontDoor: door, Question: question, Missed: missedBy(t.bus)})
}

func (t *term) onFrontDoorBeat(h protocol.Heartbeat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.step(&sched.FrontDoorBeat{Heartbeat: h, Missed: missedBy(t.bus)})
}

// missedBy counts how many times messages from the broker may have been lost.
func missedBy(b *bus.Bus) uint64 { return b.Reconnects() + uint64(b.Dropped()) }

// maxUnsent bounds the submissions and results that are processed before the
// decisions are sent.
const maxUnsent = 32

// flushLast flushes if no further message of the subscription is pending, or if
// maxUnsent is reached.
func (t *term) flushLast(sub *nats.Subscription, events int) {
	t.unsent += events
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || t.unsent >= maxUnsent {
		t.flush()
	}
}

func (t *term) onResult(m *nats.Msg) {
	results, fault := t.results.Read(m)
	if fault != nil {
		t.bus.BadMessage("bad result", m.Subject, fault)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range results {
		if t.ended {
			return
		}
		t.result.Result = r
		t.step(&t.result)
	}
	if !t.ended {
		t.flushLast(m.Sub, len(results))
	}
}

// onClock replies to a worker with the scheduler's time.
func (t *term) onClock(m *nats.Msg) {
	reading := protocol.ClockReading{Epoch: t.epoch, Now: clock.Now()}
	if err := t.bus.Respond(m, wire.Clock.Encode(&reading)); err != nil {
		t.bus.Log.Debug("clock answer not sent", "error", err) // the worker queries again
	}
}

func (t *term) onStart(m *nats.Msg) {
	state, whole, fault := t.starts.Add(m.Data)
	if fault != nil {
		t.bus.BadMessage("bad start", m.Subject, fault)
	}
	if whole && t.bus.Credible(m, state.Term) {
		t.take(&sched.Started{State: state})
	}
}

func (t *term) onJoin(m *nats.Msg) {
	w, whole, fault := t.joins.Add(m.Data)
	if fault != nil {
		t.bus.BadMessage("bad join", m.Subject, fault)
	}
	if !whole {
		return
	}
	t.take(&sched.WorkerAnnounced{State: w})
	noted := t.heartbeat() // the epoch confirms the join
	if err := t.bus.Respond(m, wire.Heartbeat.Encode(&noted)); err != nil {
		t.bus.Log.Debug("join not confirmed", "worker", w.ID, "error", err) // the controller announces the worker again
	}
}
