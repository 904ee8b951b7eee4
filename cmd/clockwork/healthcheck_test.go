package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
)

func TestHealthcheckSaysInOneLineHowAServiceIs(t *testing.T) {
	address := command.FreeAddress(t)
	url := "nats://" + address
	ended := make(chan int, 1)
	go func() {
		code, _, _ := invoke(t, "up", "--listen", address, "--load-idle", "300ms", "--http", command.FreeAddress(t), "--grpc", "127.0.0.1:0")
		ended <- code
	}()
	command.AwaitStage(t, url, protocol.AwaitingModels)
	worker := bus.HostName()
	for _, row := range []struct {
		args string
		code int
		says string
	}{
		{"", 0, "stack is healthy: AWAITING_MODELS with 1 worker"},
		{"--service stack", 0, "stack is healthy: AWAITING_MODELS"},
		{"--service nats", 0, "nats is healthy: JetStream keeps"},
		{"--service controller", 0, "controller is healthy: open"},
		{"--service profiler", 0, "profiler is healthy: idle"},
		{"--service scheduler", 0, "scheduler is healthy: ready"},
		{"--service worker", 0, "worker is healthy: idle"},
		{"--service worker --name " + worker, 0, "worker is healthy: idle"},
		{"--service worker --name another --timeout 300ms", 1, "worker is not healthy: no answer within 300ms"},
		{"--service worker --prefix elsewhere --timeout 300ms", 1, "worker is not healthy: none on " + worker + " is connected to the broker"},
		{"--prefix elsewhere", 1, "stack is not healthy: nobody listens on elsewhere.state; is the controller running?"},
		{"--service frontdoor", 0, "frontdoor is healthy: open"},
		{"--service gateway", 0, "gateway is healthy: gateway"},
		{"--service door", 2, "--service"},
		{"--name w1", 2, "--service worker"},
		{"--timeout 0s", 2, "--timeout"},
	} {
		code, stdout, stderr := invoke(t, strings.Fields("healthcheck --nats "+url+" "+row.args)...)
		if text := stdout + stderr; code != row.code || !strings.Contains(text, row.says) || code != 2 && strings.Count(text, "\n") != 1 {
			t.Errorf("%s: exit code %d, wanted %d and %q in:\n%s", row.args, code, row.code, row.says, text)
		}
	}
	code, stdout, _ := invoke(t, "healthcheck", "--nats", url, "--service", "worker", "--json")
	var found health
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || code != 0 || found.Service != "worker" || found.State != "idle" {
		t.Errorf("as JSON: exit code %d, %v, %s", code, err, stdout)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil { // up waits for it
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("up did not end")
	}
	code, stdout, stderr := invoke(t, "healthcheck", "--nats", url, "--service", "worker")
	if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "clockwork: worker is not healthy: connect to "+url) {
		t.Errorf("without a broker: exit code %d, %q, %q", code, stdout, stderr)
	}
}
