package scheduler

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// mortal is a front door on connections of its own.
type mortal struct {
	*door
	own        *bus.Bus
	heartbeats *bus.Heartbeater
	epoch      uint64
	dead       bool
}

// mortalDoor opens one beside d.
func mortalDoor(d *door, epoch uint64) *mortal {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bustest.Wait)
	defer cancel()
	own, err := bus.Open(ctx, bustest.Config(d.server, "door"))
	if err != nil {
		d.t.Fatal(err)
	}
	m := &mortal{door: &door{t: d.t, server: d.server, bus: d.bus, id: bus.RandomID()}, own: own, epoch: epoch}
	for nc, subject := range map[*nats.Conn]string{own.Control: own.Subjects.Dispatch(m.id), own.Payload: own.Subjects.Output(m.id)} {
		if _, err := own.Subscribe(nc, subject, func(*nats.Msg) {}); err != nil {
			d.t.Fatal(err)
		}
	}
	m.beat()
	d.t.Cleanup(m.die)
	return m
}

func (m *mortal) beat() {
	m.heartbeats = m.own.StartHeartbeats(protocol.FrontDoor, protocol.DoorName(m.id), func() protocol.Heartbeat {
		return protocol.Heartbeat{Incarnation: m.id, Epoch: m.epoch, State: protocol.FrontDoorOpen}
	})
}

// silence stops its heart; it stays connected.
func (m *mortal) silence() {
	m.heartbeats.Stop()
	m.heartbeats = nil
}

func (m *mortal) die() {
	if m.dead {
		return
	}
	m.dead = true
	if m.heartbeats != nil {
		m.silence()
	}
	m.own.Close()
}

func (m *mortal) say(b protocol.SubmissionBatch) {
	m.t.Helper()
	b.Door = m.id
	if b.Epoch == 0 {
		b.Epoch = m.epoch
	}
	if err := bus.Publish(m.own.Control, wire.Submissions, m.own.Subjects.Submit(m.id), &b); err != nil {
		m.t.Fatal(err)
	}
}

// hand submits a request of a client that waits on a subject.
func (m *mortal) hand(reply string, json bool, budget time.Duration) (seq uint64) {
	m.t.Helper()
	m.seq++
	m.say(protocol.SubmissionBatch{Requests: []protocol.Submitted{{Reply: reply, JSON: json, Submission: protocol.Submission{
		ID: protocol.RequestID{Door: m.id, Seq: m.seq}, Model: "a", Batch: 1, Bytes: 8, Budget: budget, Generated: true}}}})
	return m.seq
}

// clients are people who wait for replies, by name.
type clients struct {
	prefix  string
	replies chan *nats.Msg
}

func newClients(d *door) *clients {
	c := &clients{nats.NewInbox(), make(chan *nats.Msg, 100)}
	nc := bustest.Client(d.t, d.server)
	for _, subject := range []string{c.prefix + ".>", "clockwork.forged", "$forged"} {
		if _, err := nc.ChanSubscribe(subject, c.replies); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		d.t.Fatal(err)
	}
	return c
}

// rest is what else comes within a time.
func (c *clients) rest(within time.Duration) (subjects []string) {
	after := time.After(within)
	for {
		select {
		case m := <-c.replies:
			subjects = append(subjects, m.Subject)
		case <-after:
			return subjects
		}
	}
}

func activeWithWorker(t *testing.T) (*door, *bustest.Worker, uint64) {
	d := newDoor(t)
	w := bustest.StartWorker(t, d.bus, "w1", "t4")
	w.Hold(models()...)
	s, _ := d.scheduler("simple", protocol.SchedulerReady)
	d.activate(w)
	return d, w, d.await(s, protocol.SchedulerActive).Epoch
}

// TestG1ADeadDoorsClientsAreAnswered: once each, in their encoding, but for those
// that the door said it answers. That one request was executed changes nothing:
// nobody knows whether the output got there in time.
func TestG1ADeadDoorsClientsAreAnswered(t *testing.T) {
	d, w, epoch := activeWithWorker(t)
	m, c := mortalDoor(d, epoch), newClients(d)
	m.hand(c.prefix+".executed", true, 300*time.Millisecond)
	bustest.Until(t, "it is executed", func() bool { return len(w.Received(protocol.Infer)) == 1 })
	w.Script(func(a protocol.Action) *protocol.Result { return &protocol.Result{} }) // it hangs
	m.hand(c.prefix+".waiting", false, 300*time.Millisecond)
	claimed := m.hand(c.prefix+".claimed", true, 300*time.Millisecond)
	for _, forged := range []string{"clockwork.forged", "$forged", c.prefix + ".*", c.prefix + ".a b", ""} {
		m.hand(forged, true, 300*time.Millisecond)
	}
	asked := time.Now()
	m.hand(c.prefix+".later", true, 1500*time.Millisecond)
	m.say(protocol.SubmissionBatch{Answered: []uint64{claimed}})
	m.die()
	for i, want := range []struct {
		name     string
		encoding protocol.Encoding
	}{{"executed", protocol.JSON}, {"waiting", protocol.Msgpack}, {"later", protocol.JSON}} {
		r := bustest.Next(t, "the answer to "+want.name, c.replies)
		fault := wire.DecodeError(r.Data)
		if r.Subject != c.prefix+"."+want.name || wire.EncodingOf(r.Data) != want.encoding || fault == nil ||
			fault.Code != protocol.FrontDoorLost || !fault.Retryable || r.Header.Get(protocol.ErrorCodeHeader) != "503" {
			t.Errorf("answer %d: %s %v %s", i, r.Subject, r.Header, r.Data)
		}
	}
	if took := time.Since(asked); took < 1550*time.Millisecond {
		t.Errorf("the last was answered after %v: a door that lost the broker could still have", took)
	}
	if more := c.rest(700 * time.Millisecond); len(more) > 0 {
		t.Errorf("more answers: %v", more)
	}
	// It was only cut off, is back and asks: one was answered for it, of the other the
	// answer is its own.
	words := make(chan protocol.Dispatch, 10)
	d.on(d.bus.Subjects.Dispatch(m.id), func(msg *nats.Msg) {
		list, _ := wire.Dispatches.Decode(msg.Data)
		for _, x := range list {
			words <- x
		}
	})
	for seq, want := range map[uint64]protocol.DispatchKind{1: protocol.Taken, claimed: protocol.Yours} {
		d.publish(d.bus.Subjects.Submit(m.id), wire.Submissions.Encode(&protocol.SubmissionBatch{Door: m.id, Epoch: epoch, Requests: []protocol.Submitted{
			{Reply: c.prefix + ".late", Submission: protocol.Submission{ID: protocol.RequestID{Door: m.id, Seq: seq}, Model: "a", Batch: 1}}}}))
		if x := bustest.Next(t, "the word on a late answer", words); x.ID.Seq != seq || x.Kind != want {
			t.Errorf("the word on request %d: %+v", seq, x)
		}
	}
}
