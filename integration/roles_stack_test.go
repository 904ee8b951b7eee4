package integration

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// TestAStackServesWithEveryServiceInItsRole runs mutual TLS, a key per process,
// and streams that only the operator may make. Startup, load, profiling and
// requests work, a worker joins later, and the broker refuses none of it.
func TestAStackServesWithEveryServiceInItsRole(t *testing.T) {
	r := makeKeys(t, "--worker", "w1", "--worker", "w2", "--tls", "127.0.0.1", "--tls", "localhost")
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	url := "tls://" + address
	broker := startProcess(t, "nats", "--config", filepath.Join(r.dir, "broker/nats-tls.conf"), "--listen", address, "--data", t.TempDir())
	services := map[string]*process{}
	start := func(user string, args ...string) *process {
		p := startProcess(t, slices.Concat(args, []string{"--nats", url}, r.flags(user))...)
		services[user] = p
		return p
	}
	worker := func(name string) *process {
		return start("worker."+name, "worker", "--name", name, "--generate-inputs", "--scale", "0.1")
	}
	// In any order: they wait for the broker and for the operator's streams.
	start("controller", "controller", "--front-door=false", "--load-idle", "700ms")
	start("frontdoor", "frontdoor")
	http := freeAddress(t)
	start("gateway", "gateway", "--http", http, "--grpc", "127.0.0.1:0")
	worker("w1")
	start("profiler", "profiler", "--profile-iterations", "3")
	scheduler := start("scheduler", "scheduler")
	as := func(user string, args ...string) string {
		return r.run(slices.Concat(args, []string{"--nats", url}, r.flags(user))...)
	}
	if out := r.awaitRun(slices.Concat([]string{"init", "--nats", url}, r.flags("operator"))); strings.Count(out, "made") != 8 {
		t.Errorf("the first init:\n%s", out)
	}
	if out := as("operator", "init"); strings.Count(out, "found") != 8 {
		t.Errorf("the second init:\n%s", out)
	}

	s := &stack{t: t, news: make(chan struct{}, 1)}
	s.client = r.client(url, "operator")
	stop, err := s.client.Events(s.record)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	s.awaitState("w1 and a front door", func(st *protocol.StackState) bool {
		return len(st.Workers) == 1 && st.FrontDoor == protocol.FrontDoorOpen // else nobody hears the request below
	})
	buffered := make(chan *protocol.Error, 1)
	clients := &stack{t: t, client: r.client(url, "client")}
	s.load("zoo/resnet18_v2", 2)
	go func() { // waits in the startup buffer until the stack is active
		_, refusal := clients.infer("resnet18_v2-1", time.Second, patience)
		buffered <- refusal
	}()
	s.awaitState("a request in the buffer", func(st *protocol.StackState) bool { return st.Buffered == 1 })
	s.activated()
	if refusal := <-buffered; refusal != nil {
		t.Errorf("a request that waited for activation: %v", refusal)
	}
	if _, refusal := clients.infer("resnet18_v2-2", 5*time.Second, 0); refusal != nil {
		t.Errorf("a request: %v", refusal)
	}
	if out := as("client", "infer", "resnet18_v2-1", "--slo", "5s"); !strings.Contains(out, "answered in") {
		t.Errorf("infer with an input of its own:\n%s", out)
	}
	awaitHTTP(t, "http://"+http+"/v2/models/resnet18_v2-2/ready")
	if status, body := postHTTP(t, "http://"+http+"/v2/models/resnet18_v2-2/infer", `{"parameters":{"slo_ms":5000}}`); status != 200 {
		t.Errorf("through the gateway: %d %s", status, body)
	}

	worker("w2")
	s.awaitState("w2 at work", func(st *protocol.StackState) bool { return len(st.Workers) == 2 })
	for user, args := range map[string][]string{
		"controller": {"--service", "controller"}, "gateway": {"--service", "gateway"}, "scheduler": {"--service", "scheduler"}, "profiler": {"--service", "profiler"},
		"worker.w1": {"--service", "worker", "--name", "w1"}, "operator": {"--service", "worker", "--name", "w2"},
		"health": {"--service", "nats"}, "client": {"--service", "stack"},
	} {
		if out := as(user, append([]string{"healthcheck"}, args...)...); !strings.Contains(out, "is healthy") {
			t.Errorf("healthcheck %v as %s:\n%s", args, user, out)
		}
	}
	if code := scheduler.terminate(); code != 0 { // its lease is released, and another scheduler takes it
		t.Errorf("the scheduler ended with code %d", code)
	}
	epoch := s.activeEpoch()
	start("scheduler", "scheduler")
	s.awaitState("a higher epoch", func(st *protocol.StackState) bool { return st.Epoch > epoch })
	if _, refusal := clients.infer("resnet18_v2-1", 5*time.Second, 0); refusal != nil {
		t.Errorf("with the next scheduler: %v", refusal)
	}
	for user, p := range services {
		if strings.Contains(p.Log(), "permission denied by the broker") {
			t.Errorf("the broker refused something to %s:\n%s", user, p.Log())
		}
	}
	if strings.Contains(broker.Log(), "Violation") {
		t.Errorf("the broker refused something:\n%s", broker.Log())
	}

	r.withoutTLS(address)
	r.replyElsewhere(url)
	attacker := r.connect(url, "client")
	for deadline := time.Now().Add(patience); !strings.Contains(broker.Log(), "Publish Violation"); time.Sleep(20 * time.Millisecond) {
		if err := errors.Join(attacker.Publish("clockwork.load", []byte(`{}`)), attacker.FlushTimeout(patience)); err != nil { // the broker's lines are bounded
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the broker does not tell of what it refuses:\n%s", broker.Log())
		}
	}
}

// activeEpoch returns the highest epoch that the stack has reported.
func (s *stack) activeEpoch() uint64 {
	s.t.Helper()
	var highest uint64
	s.awaitState("a state", func(st *protocol.StackState) bool {
		for _, w := range st.Workers {
			highest = max(highest, w.Epoch)
		}
		return highest > 0
	})
	return highest
}

// withoutTLS checks that a connection without a valid certificate is rejected
// before the key, and that a client with our authority accepts no other broker.
func (r *roles) withoutTLS(address string) {
	r.t.Helper()
	full := r.credentials("operator")
	stranger := makeKeys(r.t, "--tls", "127.0.0.1")
	for what, c := range map[string]bus.Credentials{
		"no certificate":            {NKey: full.NKey, CA: full.CA},
		"a certificate of others":   {NKey: full.NKey, CA: full.CA, Cert: filepath.Join(stranger.dir, "tls/operator.pem"), Key: filepath.Join(stranger.dir, "tls/operator.key")},
		"another authority":         {NKey: full.NKey, CA: filepath.Join(stranger.dir, "tls/ca.pem"), Cert: full.Cert, Key: full.Key},
		"a certificate but no key":  {CA: full.CA, Cert: full.Cert, Key: full.Key},
		"no authority that we know": {NKey: full.NKey, Cert: full.Cert, Key: full.Key},
	} {
		options, err := c.Options()
		if err != nil {
			r.t.Fatal(err)
		}
		if nc, err := nats.Connect("nats://"+address, options...); err == nil {
			nc.Close()
			r.t.Errorf("%s: let in", what)
		}
	}
	open := startSpied(r.t)
	options, err := full.Options()
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := nats.Connect(open.server.ClientURL(), options...); !errors.Is(err, nats.ErrSecureConnWanted) {
		r.t.Errorf("to a broker without TLS: %v", err)
	}
}

// replyElsewhere checks that a client can neither make a front door send
// messages to a worker nor read the replies to others.
func (r *roles) replyElsewhere(url string) {
	r.t.Helper()
	w1, attacker := r.connect(url, "worker.w1"), r.connect(url, "client")
	heard, err := w1.SubscribeSync("_INBOX_worker.w1.attack")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := w1.FlushTimeout(patience); err != nil {
		r.t.Fatal(err)
	}
	if err := attacker.PublishRequest("clockwork.infer.nobody", "_INBOX_worker.w1.attack", []byte(`{}`)); err != nil {
		r.t.Fatal(err)
	}
	// The only front door answers this request after that one.
	if _, err := attacker.Request("clockwork.infer.nobody", []byte(`{}`), patience); err != nil {
		r.t.Fatal(err)
	}
	if err := w1.FlushTimeout(patience); err != nil {
		r.t.Fatal(err)
	}
	if n, _, err := heard.Pending(); err != nil || n != 0 {
		r.t.Errorf("a worker heard %d answers to a client, %v", n, err)
	}
}
