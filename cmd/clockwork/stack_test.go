package main

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// awaitStage waits until the stack at url is in a stage.
func awaitStage(t *testing.T, url string, stage protocol.Stage) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c, err := client.Connect(url, "")
		if err != nil {
			continue
		}
		s, refused := c.State(context.Background())
		c.Close()
		if refused == nil && s.Stage >= stage && len(s.Workers) > 0 {
			return
		}
	}
	t.Fatalf("the stack is not in stage %s", stage)
}

func TestUpServesTheOtherCommandsAndEndsWithASignal(t *testing.T) {
	address := freeAddress(t)
	url := "nats://" + address
	t.Setenv("NATS_URL", url)
	ended := make(chan int, 1)
	go func() {
		code, _, _ := invoke(t, "up", "--listen", address, "--load-idle", "300ms", "--scale", "0.1", "--generate-inputs")
		ended <- code
	}()
	awaitStage(t, url, protocol.AwaitingModels)
	for _, row := range []struct {
		args string
		code int
		says string // on either stream
	}{
		{"ls", 0, "no models"},
		{"load zoo/unheard_of", 1, "MODEL_NOT_FOUND"},
		{"load zoo/googlenet --copies 2", 0, "googlenet-1 to googlenet-2"},
		{"infer googlenet-1 --slo 2s", 0, "for activation"}, // it waits in the buffer
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
	} {
		code, stdout, stderr := invoke(t, strings.Fields(row.args)...)
		if code != row.code || !strings.Contains(stdout+stderr, row.says) {
			t.Errorf("%s: exit code %d, wanted %d and %q in:\n%s%s", row.args, code, row.code, row.says, stdout, stderr)
		}
	}
	type result struct {
		code           int
		stdout, stderr string
	}
	asked := make(chan result, 1)
	go func() {
		code, stdout, stderr := invoke(t, "infer", "googlenet-2", "--slo", "2s", "--count", "10000000", "--concurrency", "4", "--generated")
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
		t.Error("up did not end")
	}
	if r := <-asked; r.code != 1 || !strings.Contains(r.stdout, "goodput") || !strings.Contains(r.stderr, "interrupted") ||
		strings.Contains(r.stdout, string(protocol.StateUnavailable)) || strings.Contains(r.stdout, string(protocol.ShuttingDown)) {
		t.Errorf("infer was interrupted: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestDemoWithEmulatedGPUs(t *testing.T) {
	code, stdout, stderr := invoke(t, "demo", "--backend", "emulated", "--duration", "1s", "--misses", "1")
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, stderr:\n%s", code, stderr)
	}
	for _, part := range []string{"loaded 3 copies", "loading closes in", "profiling 18/18", "ACTIVE", "goodput", "densenet121"} {
		if !strings.Contains(stdout, part) {
			t.Errorf("the demo did not show %q:\n%s", part, stdout)
		}
	}
}
