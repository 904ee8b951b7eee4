package integration

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
)

// answersOf sends requests on a subject, all at once, and returns a function
// that waits for the answers and counts their codes.
func (s *stack) answersOf(nc *nats.Conn, subject string, bodies []string) (wait func() map[string]int) {
	s.t.Helper()
	replies := newReplyCount(len(bodies))
	inbox := nc.NewInbox()
	if _, err := nc.Subscribe(inbox+".*", replies.take); err != nil {
		s.t.Fatal(err)
	}
	for i, body := range bodies {
		if err := nc.PublishRequest(subject, inbox+"."+strconv.Itoa(i), []byte(body)); err != nil {
			s.t.Fatal(err)
		}
	}
	return func() map[string]int {
		replies.await(s.t)
		replies.mu.Lock()
		defer replies.mu.Unlock()
		return replies.codes
	}
}

func repeated(body string, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = body
	}
	return bodies
}

// TestTenants sends a hundred times alice's limit through the whole stack. The
// excess of alice is refused, nothing of bob's is.
func TestTenants(t *testing.T) {
	config := quick()
	alice := quota.Unlimited
	alice.Rate, alice.Burst = 1e-6, 10 // ten, and no more during the test
	config.controller.Limits.Tenants = map[string]quota.Limit{"alice": alice}
	s := startStack(t, config)
	s.load("zoo/resnet18_v2", 1)
	s.activated()
	const body = `{"parameters":{"slo_ms":20000},"inputs":[]}`
	ofAlice := s.answersOf(s.plain(), "clockwork.infer.resnet18_v2.alice", repeated(body, 1000))
	ofBob := s.answersOf(s.plain(), "clockwork.infer.resnet18_v2.bob", repeated(body, 100))
	if codes := ofAlice(); codes["OK"] != 10 || codes[string(protocol.LimitExceeded)] != 990 {
		t.Errorf("alice is answered %v", codes)
	}
	if codes := ofBob(); codes["OK"] != 100 {
		t.Errorf("bob is answered %v", codes)
	}
}

// TestABadRequestDoesNoHarmToItsBatchMates sends sixteen requests at once, of
// which one is wrong, in each possible way.
func TestABadRequestDoesNoHarmToItsBatchMates(t *testing.T) {
	s := startStack(t, quick())
	s.load("zoo/null", 1)
	s.activated()
	input := func(shape, datatype string, numbers int) string {
		return fmt.Sprintf(`{"parameters":{"slo_ms":20000},"inputs":[{"name":"input","shape":%s,"datatype":%q,"data":[1%s]}]}`,
			shape, datatype, strings.Repeat(",1", numbers-1))
	}
	nc := s.plain()
	for name, bad := range map[string]string{
		"broken JSON":   `{"inputs":[`,
		"wrong shape":   input("[1,63]", "FP32", 63),
		"wrong size":    input("[1,64]", "FP32", 63),
		"wrong type":    input("[1,64]", "INT32", 64),
		"a batch of 17": input("[17,64]", "FP32", 17*64),
		"negative":      input("[-1,64]", "FP32", 64),
		"no deadline":   `{"parameters":{"slo_ms":0},"inputs":[]}`,
		"a long id":     `{"id":"` + strings.Repeat("x", 65) + `","inputs":[]}`,
	} {
		bodies := repeated(input("[1,64]", "FP32", 64), 16)
		bodies[7] = bad
		codes := s.answersOf(nc, "clockwork.infer.null", bodies)()
		if codes["OK"] != 15 || len(codes) != 2 {
			t.Errorf("%s among fifteen good ones: %v", name, codes)
		}
	}
}

// TestATenantIsWhomTheBrokerSaysItIs checks that, with roles, mallory can send
// requests under her own name only, and so cannot use up another tenant's share.
func TestATenantIsWhomTheBrokerSaysItIs(t *testing.T) {
	s := makeKeys(t, "--worker", "w1", "--client", "alice", "--client", "mallory").spied()
	front := s.connect(s.server.ClientURL(), "controller")
	asked, err := front.QueueSubscribeSync("clockwork.lane.>", "frontdoor")
	if err != nil {
		t.Fatal(err)
	}
	s.flush(front)
	mallory := s.connect(s.server.ClientURL(), "client.mallory")
	for subject, allowed := range map[string]bool{
		"clockwork.infer.m.mallory": true, "clockwork.infer.m.alice": false, "clockwork.infer.m": false, "clockwork.infer.m.": false,
	} {
		if refused := s.refused(mallory, func() error { return mallory.Publish(subject, nil) }); refused == allowed {
			t.Errorf("mallory asks on %s: refused %v", subject, refused)
		}
	}
	m, err := asked.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	if _, tenant := (protocol.Subjects{Prefix: "clockwork"}).Inferred(m.Subject); tenant != "mallory" {
		t.Errorf("the front door hears of %q", tenant)
	}
}

// TestAKeyReachesNoLaneButItsOwn: what floods is in the flooder's lane, whatever subject it
// publishes on. The broker maps the subject of a request before it checks who may publish
// there, and maps none that is published in a lane.
func TestAKeyReachesNoLaneButItsOwn(t *testing.T) {
	s := makeKeys(t, "--worker", "w1", "--client", "alice", "--client", "mallory").spied()
	subjects := protocol.Subjects{Prefix: protocol.DefaultPrefix}
	victim := strings.TrimSuffix(subjects.Lane(protocol.LaneOf("alice")), ">")
	if protocol.LaneOf("alice") == protocol.LaneOf("mallory") {
		t.Fatal("the test needs names in two lanes")
	}
	mallory := s.connect(s.server.ClientURL(), "client.mallory")
	reached := 0
	for lane := range protocol.Lanes {
		into := strings.TrimSuffix(subjects.Lane(lane), ">")
		for _, end := range []string{"m.mallory", "m.alice", "m", "m.mallory.alice", "m.alice.mallory", "m.operator"} {
			s.refused(mallory, func() error { return mallory.Publish(into+end, []byte("flood")) })
		}
	}
	for _, name := range []string{"mallory", "alice", "operator"} {
		s.refused(mallory, func() error { return mallory.Publish(subjects.InferBy("m", name), []byte("flood")) })
	}
	s.flush(s.hot.nc)
	for {
		if waiting, _, err := s.hot.heard.Pending(); err != nil || waiting == 0 {
			break
		}
		m, err := s.hot.heard.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != "flood" {
			continue
		}
		reached++
		if own := subjects.LaneBy("m", "mallory"); m.Subject != own || strings.HasPrefix(m.Subject, victim) {
			t.Errorf("mallory is heard on %s", m.Subject)
		}
	}
	if reached != 2 { // in her lane, and by the subject that is mapped to it
		t.Errorf("mallory is heard %d times in her lane", reached)
	}
}
