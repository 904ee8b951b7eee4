package frontdoor

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// limited is the limits of alice; others have none.
func limited(requests, bytes int64, burst float64) quota.Rules {
	l := quota.Unlimited
	l.Requests, l.Bytes = requests, bytes
	if burst > 0 {
		l.Rate, l.Burst = 1e-6, burst // so slow that no test sees a second one
	}
	return quota.Rules{Tenants: map[string]quota.Limit{"alice": l}, Others: quota.Unlimited, Anonymous: quota.Unlimited, OtherModels: quota.Unlimited}
}

func servingWith(t *testing.T, limits quota.Rules) *stack {
	t.Helper()
	s := newStack(t)
	s.config.Limits = limits
	s.frontDoor()
	s.loaded("a", "b")
	s.activate()
	s.awaitServing()
	return s
}

// exceeded reads a refusal by a limit.
func exceeded(t *testing.T, m *nats.Msg) *protocol.Error {
	t.Helper()
	refusal := wire.DecodeError(m.Data)
	if code := codeOf(t, m); code != protocol.LimitExceeded {
		t.Fatalf("answered %s: %s", code, m.Data)
	}
	return refusal
}

func TestATenantHasSoManyRequestsInFlight(t *testing.T) {
	s := servingWith(t, limited(2, quota.None, 0))
	var taken []protocol.Submission
	var replies []chan *nats.Msg
	for range 2 {
		replies = append(replies, s.infer("a.alice", jsonInfer))
		taken = append(taken, bustest.Next(t, "the submission", s.submit))
	}
	refusal := exceeded(t, s.ask("clockwork.infer.b.alice", jsonInfer))
	if refusal.LimitOf != "tenant.requests" || refusal.Got != 3 || refusal.Limit != 2 {
		t.Errorf("refused with %+v", refusal)
	}
	for _, subject := range []string{"a.bob", "a"} { // are others
		reply := s.infer(subject, jsonInfer)
		s.output(bustest.Next(t, "the submission of "+subject, s.submit), raw)
		if code := codeOf(t, bustest.Next(t, "the reply", reply)); code != protocol.OK {
			t.Errorf("%s: %s", subject, code)
		}
	}
	s.output(taken[0], raw)
	if code := codeOf(t, bustest.Next(t, "the reply", replies[0])); code != protocol.OK {
		t.Errorf("the first one: %s", code)
	}
	s.infer("a.alice", jsonInfer)
	bustest.Next(t, "the submission", s.submit)
}

// TestWhatIsRefusedForItsInputsGivesBackWhatItHad, whatever is wrong with it.
func TestWhatIsRefusedForItsInputsGivesBackWhatItHad(t *testing.T) {
	s := servingWith(t, limited(1, 1<<20, 0))
	for name, c := range map[string]struct {
		body string
		want protocol.Code
	}{
		"broken JSON":   {`{"inputs":[`, protocol.BadMessage},
		"a bad time":    {`{"parameters":{"slo_ms":0},"inputs":[]}`, protocol.InvalidDeadline},
		"a wrong shape": {`{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`, protocol.InvalidInput},
		"large JSON":    {largeJSON(50_000), protocol.InvalidInput},
	} {
		for range 3 {
			if code := codeOf(t, s.ask("clockwork.infer.a.alice", c.body)); code != c.want {
				t.Errorf("%s: %s, want %s", name, code, c.want)
			}
		}
	}
	m := s.ask("clockwork.infer.a.alice", largeJSON(1<<20))
	if refusal := wire.DecodeError(m.Data); codeOf(t, m) != protocol.PayloadTooLarge || refusal.LimitOf != "tenant.bytes" || refusal.Limit != 1<<20 {
		t.Errorf("refused with %+v", refusal)
	}
}

// largeJSON is an input of n numbers.
func largeJSON(n int) string {
	body := make([]byte, 0, 2*n+100)
	body = append(body, `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1`...)
	for range n - 1 {
		body = append(body, ",1"...)
	}
	return string(append(body, `]}]}`...))
}

// TestAHundredTimesTheLimit: a tenant whose limit lets three pass sends three
// hundred. As many are refused as are too many, and nobody else is.
func TestAHundredTimesTheLimit(t *testing.T) {
	s := servingWith(t, limited(quota.None, quota.None, 3))
	var alice, bob []chan *nats.Msg
	for i := range 300 {
		alice = append(alice, s.infer("a.alice", jsonInfer))
		if i%10 == 0 {
			bob = append(bob, s.infer("a.bob", jsonInfer))
		}
	}
	for range 3 + len(bob) {
		s.output(bustest.Next(t, "a submission", s.submit), raw)
	}
	codes := map[protocol.Code]int{}
	for _, replies := range alice {
		m := bustest.Next(t, "a reply to alice", replies)
		codes[codeOf(t, m)]++
		if refusal := wire.DecodeError(m.Data); refusal != nil && (refusal.LimitOf != "tenant.rate" || refusal.RetryMS <= 0) {
			t.Errorf("refused with %+v", refusal)
		}
	}
	if codes[protocol.OK] != 3 || codes[protocol.LimitExceeded] != 297 {
		t.Errorf("alice was answered %v", codes)
	}
	for _, replies := range bob {
		if code := codeOf(t, bustest.Next(t, "a reply to bob", replies)); code != protocol.OK {
			t.Errorf("bob was answered %s", code)
		}
	}
}

func TestAModelHasSoManyRequestsInFlightForAllTogether(t *testing.T) {
	limits := limited(quota.None, quota.None, 0)
	one := quota.Unlimited
	one.Requests = 1
	limits.Models = map[string]quota.Limit{"a": one}
	s := servingWith(t, limits)
	s.infer("a.alice", jsonInfer)
	bustest.Next(t, "the submission", s.submit)
	for _, subject := range []string{"a.alice", "a.bob", "a"} {
		if refusal := exceeded(t, s.ask("clockwork.infer."+subject, jsonInfer)); refusal.LimitOf != "model.requests" {
			t.Errorf("%s: %+v", subject, refusal)
		}
	}
	s.infer("b.alice", jsonInfer)
	bustest.Next(t, "the submission for another model", s.submit)
}

// TestATenantDoesNotFillTheStartupBuffer, and what it has there counts until it is
// served or its time is over.
func TestATenantDoesNotFillTheStartupBuffer(t *testing.T) {
	s := newStack(t)
	s.config.Limits = limited(2, quota.None, 0)
	s.config.BufferTimeout = time.Minute
	s.frontDoor()
	var replies []chan *nats.Msg
	for range 2 {
		replies = append(replies, s.infer("a.alice", jsonInfer))
	}
	if refusal := exceeded(t, s.ask("clockwork.infer.a.alice", jsonInfer)); refusal.LimitOf != "tenant.requests" {
		t.Errorf("refused with %+v", refusal)
	}
	replies = append(replies, s.infer("a.bob", jsonInfer), s.infer("a", jsonInfer))
	s.awaitBuffered(4)
	exceeded(t, s.ask("clockwork.infer.a.alice", jsonInfer)) // those on their way there are not the reason
	s.loaded("a")
	s.activate()
	for range 4 {
		s.output(bustest.Next(t, "a submission", s.submit), raw)
	}
	for i, c := range replies {
		if code := codeOf(t, bustest.Next(t, "a reply", c)); code != protocol.OK {
			t.Errorf("request %d: %s", i, code)
		}
	}
	s.infer("a.alice", jsonInfer)
	s.infer("a.alice", jsonInfer)
	for range 2 {
		bustest.Next(t, "a submission after that", s.submit)
	}
	exceeded(t, s.ask("clockwork.infer.a.alice", jsonInfer))
}

func TestARequestThatWaitedInVainCountsNoMore(t *testing.T) {
	s := newStack(t)
	s.config.Limits = limited(1, quota.None, 0)
	s.config.BufferTimeout = 300 * time.Millisecond
	s.frontDoor()
	for range 3 {
		if code := codeOf(t, s.ask("clockwork.infer.a.alice", jsonInfer)); code != protocol.BufferTimeout {
			t.Fatalf("answered %s", code)
		}
	}
}

// TestNobodyIsAnsweredInAnothersInbox: else a client could have what others are let
// used up, and them answered what they did not ask for.
func TestNobodyIsAnsweredInAnothersInbox(t *testing.T) {
	s := servingWith(t, limited(1, quota.None, 0))
	for subject, reply := range map[string]string{
		"a.mallory": "_INBOX_client.alice.x",
		"a":         "_INBOX_client.alice.x",
		"b.alice":   "_INBOX_client.mallory.x",
		"b.mallory": "_INBOX_operator.operator.x",
	} {
		heard, err := s.client.SubscribeSync(reply)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.client.PublishRequest("clockwork.infer."+subject, reply, []byte(jsonInfer)); err != nil {
			t.Fatal(err)
		}
		s.ask("clockwork.infer.nobody", `{}`) // is answered after it
		if n, _, err := heard.Pending(); err != nil || n != 0 || len(s.submit) != 0 {
			t.Errorf("a request on %s is answered on %s: %d, %v; %d submitted", subject, reply, n, err, len(s.submit))
		}
	}
	heard, err := s.client.SubscribeSync("_INBOX_client.alice.x")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.client.PublishRequest("clockwork.infer.a.alice", "_INBOX_client.alice.x", []byte(jsonInfer)); err != nil {
		t.Fatal(err)
	}
	s.output(bustest.Next(t, "the submission of alice herself", s.submit), raw)
	if _, err := heard.NextMsg(bustest.Wait); err != nil {
		t.Error(err)
	}
}

func TestASubjectThatNamesNoTenantIsRefused(t *testing.T) {
	s := servingWith(t, limited(1, quota.None, 0))
	for _, subject := range []string{"a.Alice", "a.alice.b", "a.ä"} {
		if code := codeOf(t, s.ask("clockwork.infer."+subject, jsonInfer)); code != protocol.BadMessage {
			t.Errorf("%s: %s", subject, code)
		}
	}
}

// TestEveryRequestIsAccountedFor, whatever became of it: received are answered,
// left, in flight or stored.
func TestEveryRequestIsAccountedFor(t *testing.T) {
	s := newStack(t)
	s.config.Limits = limited(20, 1<<20, 0)
	stop := s.frontDoor()
	d := s.door
	s.loaded("a")
	s.activate()
	bustest.Until(t, "the front door serves", d.serving) // without a request
	replies := make(chan *nats.Msg, 10_000)
	if _, err := s.client.ChanSubscribe("answers", replies); err != nil {
		t.Fatal(err)
	}
	bodies := []string{jsonInfer, `{"inputs":[`, `{"parameters":{"slo_ms":0},"inputs":[]}`, largeJSON(40_000)}
	subjects := []string{"a", "a.alice", "a.bob", "nobody", "a.A"}
	const sent = 2000
	for i := range sent {
		subject := fmt.Sprint("clockwork.infer.", subjects[i%len(subjects)])
		if err := s.client.PublishRequest(subject, "answers", []byte(bodies[(i/7)%len(bodies)])); err != nil {
			t.Fatal(err)
		}
	}
	inFlight := 0
	bustest.Until(t, "what was received is answered, left or in flight", func() bool {
		n := d.snapshot()
		inFlight = n.InFlight
		return n.Received == sent && n.Answered+n.Left+int64(inFlight) == sent
	})
	if inFlight == 0 {
		t.Error("none is in flight")
	}
	stop()
	codes := map[protocol.Code]int{}
	for range sent {
		codes[codeOf(t, bustest.Next(t, "an answer", replies))]++
	}
	if codes[protocol.LimitExceeded] == 0 || codes[protocol.ShuttingDown] != inFlight {
		t.Errorf("answered %v; in flight were %d", codes, inFlight)
	}
	if n := d.snapshot(); n.InFlight != 0 || n.Answered != sent {
		t.Errorf("after all were answered: %+v", n)
	}
}

// TestWhatIsInFlightFitsTheBrokersQueue: by default a front door has fewer bytes in flight
// than the broker keeps for one connection, also that of a worker which gets all of them.
func TestWhatIsInFlightFitsTheBrokersQueue(t *testing.T) {
	c := DefaultConfig()
	if most := max(c.MaxInFlightBytes, c.MaxInFlightOutputs); most+bus.MaxPayload > bus.MaxWaiting {
		t.Errorf("%d bytes in flight, and the broker keeps %d", most, bus.MaxWaiting)
	}
	if tenant := c.Limits.Others.Bytes; tenant < 12*bus.MaxPayload {
		t.Errorf("a client may have %d bytes in flight; 12 of the largest messages have %d", tenant, 12*bus.MaxPayload)
	}
}
