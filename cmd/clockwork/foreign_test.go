package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// Another program may listen on our subjects, and any JSON object can be decoded.
func TestAnswersThatAreNotClockworksAreErrors(t *testing.T) {
	s := bustest.Server(t)
	nc := bustest.Client(t, s)
	t.Setenv("NATS_URL", s.ClientURL())
	for _, body := range []string{`{}`, `{"hello":"world"}`, `{"stage":null,"models":null}`, `{"stage":"ACTIVE"}`, `{"models":[null]}`, `{"model_name":"m"}`, `{"error":{}}`, ``, `null`, `[]`, `pong`, "\x80"} {
		sub, err := nc.Subscribe("clockwork.>", func(m *nats.Msg) { _ = nc.Publish(m.Reply, []byte(body)) }) // without a reply subject it fails
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"ls", "state", "load zoo/googlenet", "infer m --no-wait", "infer m", "healthcheck", "healthcheck --service scheduler", "explain",
			"top --once --interval 1s", "top --json --interval 1s", "bench open --length 1s"} {
			code, stdout, stderr := invoke(t, strings.Fields(command)...)
			if code != 1 || stderr+stdout == "" || strings.Contains(stdout, "Stage(") {
				t.Errorf("%s, answered %q: exit code %d\n%s%s", command, body, code, stdout, stderr)
			}
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}

// A broker may have no stack on it, or not this one.
func TestABrokerWithoutClockworkIsAnError(t *testing.T) {
	t.Setenv("NATS_URL", bustest.Server(t).ClientURL())
	for _, command := range []string{"ls", "state", "load zoo/googlenet --timeout 1s", "infer m --no-wait", "infer m --wait-timeout 1s", "healthcheck --timeout 1s",
		"healthcheck --service scheduler --timeout 1s", "explain", "top --once --interval 1s", "top --json --interval 1s", "bench open --length 1s"} {
		code, stdout, stderr := invoke(t, strings.Fields(command)...)
		if told := stderr + stdout; code != 1 || told == "" || !strings.Contains(command, "bench") && strings.Count(stderr, "\n") > 2 {
			t.Errorf("%s: exit code %d\n%s%s", command, code, stdout, stderr)
		}
	}
}

// A stack of thousands of models, of which nobody publishes statistics, is asked again at each
// tick whether it is there, and for no more.
func TestTopAsksNoModelsOfAStackThatIsSilent(t *testing.T) {
	s := bustest.Server(t)
	nc := bustest.Client(t, s)
	t.Setenv("NATS_URL", s.ClientURL())
	state := wire.EncodeBody(protocol.JSON, protocol.StackState{Stage: protocol.Active, Since: time.Now(), Scheduler: protocol.ServiceAbsent, Profiler: protocol.ServiceAbsent, FrontDoor: protocol.ServiceAbsent,
		Workers: []protocol.WorkerState{}, Models: []protocol.ModelState{}})
	var asked atomic.Int64
	if _, err := nc.Subscribe("clockwork.state", func(m *nats.Msg) {
		var q protocol.PageRequest
		if fault := wire.DecodeBody(m.Data, &q); fault != nil || !q.Brief {
			t.Errorf("top asks for %+v, %v", q, fault)
		}
		asked.Add(1)
		_ = m.Respond(state) // top fails without an answer
	}); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := invoke(t, "top", "--json", "--interval", "1s"); code != 0 || asked.Load() == 0 {
		t.Errorf("exit code %d, asked %d times: %s", code, asked.Load(), stderr)
	}
}
