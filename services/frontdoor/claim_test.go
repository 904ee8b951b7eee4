package frontdoor

import (
	"testing"

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
			s.decide(protocol.Dispatch{ID: r.ID, Kind: protocol.Refuse, Refusal: protocol.Refusal(protocol.NoMemory)})
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
