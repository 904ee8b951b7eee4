package frontdoor

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// TestG1EveryReplyIsClaimedFirst, whatever it says: a door that dies between the
// two leaves no answer, never two.
func TestG1EveryReplyIsClaimedFirst(t *testing.T) {
	s, _ := serving(t)
	heard := make(chan *nats.Msg, 100)
	inbox := nats.NewInbox()
	for _, subject := range []string{inbox, s.bus.Subjects.Submissions()} {
		if _, err := s.client.ChanSubscribe(subject, heard); err != nil {
			t.Fatal(err)
		}
	}
	for name, end := range map[string]func(protocol.Submission){
		"output": func(r protocol.Submission) { s.output(r, raw) },
		"refusal": func(r protocol.Submission) {
			d := []protocol.Dispatch{{ID: r.ID, Kind: protocol.Refuse, Refusal: protocol.Refusal(protocol.NoMemory)}}
			s.publish(s.bus.Subjects.Dispatch(r.ID.Door), wire.Dispatches.Encode(&d))
		},
		"deadline": func(protocol.Submission) {},
	} {
		body := jsonInfer
		if name == "deadline" {
			body = `{"parameters":{"slo_ms":200},"inputs":[]}`
		}
		if err := s.client.PublishRequest("clockwork.infer.a", inbox, []byte(body)); err != nil {
			t.Fatal(err)
		}
		b, fault := wire.Submissions.Decode(bustest.Next(t, "the submission", heard).Data)
		if fault != nil || len(b.Requests) != 1 || b.Epoch != 1 || b.Requests[0].Reply != inbox || !b.Requests[0].JSON {
			t.Fatalf("%s: %+v, %v", name, b, fault)
		}
		end(b.Requests[0].Submission)
		claim, fault := wire.Submissions.Decode(bustest.Next(t, "the claim", heard).Data)
		if fault != nil || len(claim.Answered) != 1 || claim.Answered[0] != b.Requests[0].ID.Seq || claim.Door != b.Door {
			t.Errorf("%s: claim %+v, %v", name, claim, fault)
		}
		if m := bustest.Next(t, "the reply", heard); m.Subject != inbox {
			t.Errorf("%s: after the claim came %s", name, m.Subject)
		}
	}
}

// TestG1ALateReplyIsLeftToTheScheduler by a door that the broker had lost, and
// by no other.
func TestG1ALateReplyIsLeftToTheScheduler(t *testing.T) {
	s := newStack(t)
	d := New(s.config, s.bus, s.state, nil)
	replies := make(chan *nats.Msg, 10)
	inbox := nats.NewInbox()
	if _, err := s.client.ChanSubscribe(inbox, replies); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		late       time.Duration
		reconnects uint64
		handed     bool
		left       int64
	}{
		{"in time", -time.Second, 9, false, 0},
		{"at the deadline", time.Millisecond, 9, false, 0},
		{"late, never lost", time.Second, 0, false, 0},
		{"late, from the buffer", time.Second, 9, true, 0},
		{"late", time.Second, 9, false, 1},
	} {
		d.Left.Store(0)
		r := &request{reply: inbox, epoch: 1, deadline: time.Now().Add(-c.late), reconnects: c.reconnects, handed: c.handed}
		d.claim(r)
		d.answer(r, &nats.Msg{Subject: inbox, Data: []byte("{}")})
		if d.Left.Load() != c.left {
			t.Errorf("%s: left %d", c.name, d.Left.Load())
		}
		if c.left == 0 {
			bustest.Next(t, "the reply, "+c.name, replies)
		}
	}
	if err := s.bus.Control.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(replies) != 0 {
		t.Error("a late reply was sent")
	}
}
