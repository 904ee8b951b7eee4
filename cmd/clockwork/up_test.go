package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
)

func TestUpServesTheOtherCommandsAndEndsWithASignal(t *testing.T) {
	address := command.FreeAddress(t)
	url := "nats://" + address
	t.Setenv("NATS_URL", url)
	dir := t.TempDir()
	journal, log, exported := filepath.Join(dir, "journal"), filepath.Join(dir, "actions.tsv"), filepath.Join(dir, "hardware.json")
	ended := make(chan int, 1)
	go func() {
		code, _, _ := invoke(t, "up", "--journal", journal, "--action-log", log, "--listen", address, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--load-idle", "300ms", "--scale", "0.1", "--generate-inputs")
		ended <- code
	}()
	command.AwaitStage(t, url, protocol.AwaitingModels)
	actions, payloads := spied(t, url, "clockwork.worker.*.action"), spied(t, url, "clockwork.worker.*.input", "clockwork.frontdoor.*.output.*")
	for _, row := range []struct {
		args string
		code int
		says string // on either stream
	}{
		{"ls", 0, "no models"},
		{"load zoo/unheard_of", 1, "MODEL_NOT_FOUND"},
		{"load zoo/googlenet --copies 2", 0, "googlenet-1 to googlenet-2"},
		{"infer googlenet-1 --slo 2s --no-wait", 0, "for activation"}, // it waits in the buffer
		{"infer googlenet-1 --slo 2s", 0, "answered in"},
		{"infer googlenet-2 --slo 2s --generated", 0, "answered in"},
		{"infer googlenet-2 --slo 2s --items 3", 0, "FP32[3,1000]"},
		{"infer googlenet-2 --slo 2s --input main.go", 1, "neither a request nor a multiple"},
		{"infer googlenet-2 --slo 2s --input testdata/broken.json", 1, "broken.json is no request"},
		{"infer googlenet-2 --slo 2s --count 20 --concurrency 2", 0, "goodput"},
		{"infer googlenet-2 --slo 2s --count 2 --json", 0, `"requests": 2`},
		{"infer unheard_of", 1, "clockwork ls lists"},
		{"infer unheard_of --count 2", 1, "UNKNOWN_MODEL"},
		{"load zoo/densenet121", 1, "begin anew"},
		{"ls", 0, "FP32[3,224,224]"},
		{"ls --json", 0, `"path": "zoo/googlenet"`},
		{"state", 0, "ACTIVE"},
		{"state --json", 0, `"stage": "ACTIVE"`},
		{"profiles export " + exported + " --as zoo/googlenet", 2, "expected PATH=zoo/NAME"},
		{"profiles export " + exported + " --action-log main.go", 2, "its header lacks"},
		{"profiles export " + exported + " --action-log " + log, 0, "zoo/googlenet"},
		{"profiles export " + exported, 2, "exists"},
		{"sim open --model zoo/googlenet --copies 1 --rate 100 --length 1s --hardware " + exported, 0, "in SLO"},
		{"sim open --hardware main.go", 2, "read hardware"},
	} {
		code, stdout, stderr := invoke(t, strings.Fields(row.args)...)
		if code != row.code || !strings.Contains(stdout+stderr, row.says) {
			t.Errorf("%s: exit code %d, wanted %d and %q in:\n%s%s", row.args, code, row.code, row.says, stdout, stderr)
		}
	}
	if actions.Load() == 0 || payloads.Load() > 0 {
		t.Errorf("%d actions and %d inputs and outputs crossed the broker, expected some actions and no payload", actions.Load(), payloads.Load())
	}
	type result struct {
		code           int
		stdout, stderr string
	}
	asked := make(chan result, 1)
	go func() {
		code, stdout, stderr := invoke(t, "infer", "googlenet-2", "--slo", "2s", "--count", "1000000", "--concurrency", "4", "--generated")
		asked <- result{code, stdout, stderr}
	}()
	time.Sleep(500 * time.Millisecond)
	// The signal is for this process: infer and up both get it.
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil { // up waits for it
		t.Fatal(err)
	}
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("up ended with exit code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("up did not end")
	}
	code, stdout, _ := invoke(t, "replay", journal)
	if code != 0 || !strings.Contains(stdout, "frontdoor and measure and startup and work, 5 cores") || strings.Contains(stdout, "without a close") {
		t.Errorf("its journal: exit code %d\n%s", code, stdout)
	}
	if r := <-asked; r.code != 1 || !strings.Contains(r.stdout, "goodput") || !strings.Contains(r.stderr, "interrupted") ||
		strings.Contains(r.stdout, string(protocol.StateUnavailable)) || strings.Contains(r.stdout, string(protocol.ShuttingDown)) {
		t.Errorf("infer was interrupted: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// TestUpServesWithoutAnIngressWhoseAddressIsTaken, and says so.
func TestUpServesWithoutAnIngressWhoseAddressIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	address := command.FreeAddress(t)
	said := make(chan string, 1)
	go func() {
		code, stdout, stderr := invoke(t, "up", "--listen", address, "--http", taken.Addr().String(), "--grpc", taken.Addr().String())
		said <- fmt.Sprint(code, "\n", stdout, stderr)
	}()
	command.AwaitStage(t, "nats://"+address, protocol.AwaitingModels)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGINT); err != nil { // up waits for it
		t.Fatal(err)
	}
	select {
	case text := <-said:
		if !strings.HasPrefix(text, "0\n") || !strings.Contains(text, "No HTTP: hear HTTP: another process listens on "+taken.Addr().String()) ||
			!strings.Contains(text, "No gRPC: hear gRPC: another process listens on "+taken.Addr().String()+"; choose another address with --grpc") {
			t.Error(text)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("up did not end")
	}
}

// spied counts the messages on subjects.
func spied(t *testing.T, url string, subjects ...string) *atomic.Int64 {
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	var count atomic.Int64
	for _, subject := range subjects {
		if _, err := nc.Subscribe(subject, func(*nats.Msg) { count.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return &count
}
