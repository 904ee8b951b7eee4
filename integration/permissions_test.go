package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"clockwork/pkg/lab/chaos"
)

// failing runs a command that has to fail, and returns all that it printed.
func failing(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
	var code *exec.ExitError
	if !errors.As(err, &code) || code.ExitCode() != 1 {
		t.Errorf("clockwork %v: %v, wanted exit code 1\n%s", args, err, out)
	}
	return string(out)
}

// A command whose key may not do it would wait for an answer that does not come: its own
// time-out is an hour here, and longer than the test's.
func TestACommandWhoseKeyMayNotDoItEndsAtOnce(t *testing.T) {
	r := makeKeys(t, "--worker", "a", "--worker", "b", "--client", "alice")
	s := r.tapped()
	url := s.server.ClientURL()
	for _, row := range []struct{ user, command, says string }{
		{"client.alice", "load zoo/googlenet --timeout 1h", "PERMISSION_DENIED: the key of client alice may not publish on clockwork.load"},
		{"client.alice", "load zoo/googlenet --timeout 1h", "operator.nk"},
		{"client.alice", "top --once", "PERMISSION_DENIED: the key of client alice may not"},
		{"client.alice", "explain", "PERMISSION_DENIED: the key of client alice may not"},
		{"client.alice", "healthcheck --service nats --timeout 1h", "PERMISSION_DENIED: the key of client alice may not publish on $JS.API.INFO"},
		{"client.alice", "healthcheck --service frontdoor --timeout 1h", "PERMISSION_DENIED"},
		{"controller", "healthcheck --service nats --timeout 1h", "PERMISSION_DENIED: the key of the role controller may not look into what the stack keeps"},
		{"worker.a", "healthcheck --service nats --timeout 1h", "PERMISSION_DENIED: the key of worker a may not look into what the stack keeps"},
		{"health", "infer m --no-wait --wait-timeout 1h", "PERMISSION_DENIED: the key of the role health may not publish on clockwork.infer.m"},
		{"health", "ls", "PERMISSION_DENIED: the key of the role health may not publish on clockwork.ls"},
		{"worker.a", "state", "PERMISSION_DENIED: the key of worker a may not publish on clockwork.state"},
		{"controller", "init --timeout 1h", "this service needs one of the role operator"},
		{"worker.a", "worker --name b", "is that of the worker a: no other may use it, and this one is called b"},
		{"profiler", "scheduler", "is that of the role profiler, and this service needs one of the role scheduler"},
		{"client.alice", "controller", "is that of client alice"},
		{"client.alice", "frontdoor", "is that of client alice"},
		{"operator", "profiler", "is that of the role operator"},
	} {
		args := append(strings.Fields(row.command), "--nats", url)
		if out := failing(t, append(args, r.flags(row.user)...)...); !strings.Contains(out, row.says) {
			t.Errorf("clockwork %s as %s does not say %q:\n%s", row.command, row.user, row.says, out)
		}
	}
	stranger := makeKeys(t)
	if out := failing(t, append([]string{"ls", "--nats", url}, stranger.flags("client")...)...); !strings.Contains(out, "does not know the key") {
		t.Errorf("with a key of another broker:\n%s", out)
	}
	if out := failing(t, "ls", "--nats", url); !strings.Contains(out, "--nkey FILE") {
		t.Errorf("without a key:\n%s", out)
	}
}

func TestConnectionsThatFailNameTheFlag(t *testing.T) {
	r, stranger := makeKeys(t, "--tls", "127.0.0.1"), makeKeys(t, "--tls", "127.0.0.1")
	url, open := r.encrypted(), startTapped(t).server.ClientURL()
	elsewhere := makeKeys(t, "--tls", "broker.example.net")
	misnamed := elsewhere.encrypted()
	full := func(r *roles) []string { return r.flags("operator") }
	without := func(args []string, flags ...string) []string {
		var left []string
		for i := 0; i < len(args); i += 2 {
			if !slices.Contains(flags, args[i]) {
				left = append(left, args[i], args[i+1])
			}
		}
		return left
	}
	with := func(args []string, flag, value string) []string {
		return append(without(args, flag), flag, value)
	}
	text := filepath.Join("..", "README.md")
	for _, row := range []struct {
		what, url string
		flags     []string
		says      string
	}{
		{"no authority", url, without(full(r), "--tls-ca"), "--tls-ca"},
		{"no authority, no certificate", url, without(full(r), "--tls-ca", "--tls-cert", "--tls-key"), "--tls-ca"},
		{"another's authority", url, with(full(r), "--tls-ca", filepath.Join(stranger.dir, "tls/ca.pem")), "--tls-ca"},
		{"no certificate", url, without(full(r), "--tls-cert", "--tls-key"), "--tls-cert and --tls-key"},
		{"a certificate of others", url, with(with(full(r), "--tls-cert", filepath.Join(stranger.dir, "tls/operator.pem")),
			"--tls-key", filepath.Join(stranger.dir, "tls/operator.key")), "--tls-cert and --tls-key"},
		{"a certificate and another's key", url, with(full(r), "--tls-key", filepath.Join(stranger.dir, "tls/operator.key")), "--tls-cert and --tls-key"},
		{"an authority that is no certificate", url, with(full(r), "--tls-ca", text), "--tls-ca"},
		{"a certificate that is none", url, with(full(r), "--tls-cert", text), "--tls-cert and --tls-key"},
		{"a broker without TLS", open, full(r), "--tls-ca"},
		{"a broker without TLS, and tls://", strings.Replace(open, "nats://", "tls://", 1), full(r), "tls://"},
		{"another name", misnamed, full(elsewhere), "--nats"},
	} {
		out := failing(t, append([]string{"ls", "--nats", row.url}, row.flags...)...)
		if !strings.Contains(out, row.says) || strings.Contains(out, "start a stack with clockwork up") {
			t.Errorf("%s: does not say %q:\n%s", row.what, row.says, out)
		}
	}
}

// encrypted starts the broker of TLS and returns its address.
func (r *roles) encrypted() string {
	r.t.Helper()
	address, err := chaos.FreeAddress()
	if err != nil {
		r.t.Fatal(err)
	}
	startProcess(r.t, "nats", "--config", filepath.Join(r.dir, "broker/nats-tls.conf"), "--listen", address, "--data", r.t.TempDir())
	for i := 0; ; i++ {
		nc, err := net.Dial("tcp", address)
		if err == nil {
			nc.Close()
			return "nats://" + address
		}
		if i > 2000 {
			r.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// withoutJetStream starts a nats-server as people have it who did not read that
// Clockwork needs JetStream.
func withoutJetStream(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the broker does not start")
	}
	return s.ClientURL()
}

func TestServicesSayInOneLineThatTheBrokerIsUnfit(t *testing.T) {
	for says, url := range map[string]string{
		"runs without JetStream":                  withoutJetStream(t),
		"is nats-server 2.10.29; Clockwork needs": unfitBroker(t, "2.10.29", 1<<20),
		"carries messages of at most 32768 bytes": unfitBroker(t, "2.14.0", 32<<10),
	} {
		for _, service := range []string{"controller", "frontdoor", "profiler", "scheduler", "worker --name w"} {
			out := failing(t, append(strings.Fields(service), "--nats", url)...)
			if strings.Count(out, says) == 0 || strings.Count(out, "\n") > 3 {
				t.Errorf("%s does not say in a line that the broker %s:\n%s", service, says, out)
			}
		}
	}
}

// unfitBroker stands for a server of before Clockwork's time, or of small messages: what it
// says of itself is all that is asked of it.
func unfitBroker(t *testing.T, version string, payload int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			go func() {
				defer c.Close()
				_, _ = fmt.Fprintf(c, `INFO {"server_id":"UNFIT","version":%q,"proto":1,"headers":true,"max_payload":%d,"jetstream":true}`+"\r\n", version, payload)
				answerPings(c)
			}()
		}
	}()
	return "nats://" + l.Addr().String()
}

func answerPings(c net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return
		}
		for range strings.Count(string(buffer[:n]), "PING\r\n") {
			_, _ = c.Write([]byte("PONG\r\n"))
		}
	}
}
