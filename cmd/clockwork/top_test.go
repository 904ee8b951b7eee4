package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/watch/top"
)

// served starts a stack with a model that listens on TCP, and returns a client of it.
// It ends with the test.
func served(t *testing.T) *client.Client {
	t.Helper()
	address := command.FreeAddress(t)
	url := "nats://" + address
	t.Setenv("NATS_URL", url)
	ended := make(chan int, 1)
	go func() {
		code, _, _ := invoke(t, "up", "--listen", address, "--load-idle", "300ms", "--generate-inputs", "--gpus", "2", "--http", "off", "--grpc", "off")
		ended <- code
	}()
	command.AwaitStage(t, url, protocol.AwaitingModels)
	t.Cleanup(func() {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil { // up waits for it
			t.Error(err)
		}
		if code := <-ended; code != 0 {
			t.Errorf("up ended with exit code %d", code)
		}
	})
	if code, _, stderr := invoke(t, "load", "zoo/googlenet", "--copies", "2"); code != 0 {
		t.Fatal(stderr)
	}
	c, err := client.Connect(url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, refusal := c.Infer(t.Context(), "googlenet-1", wanting("first", 10*time.Second), 20*time.Second); refusal != nil {
		t.Fatal(refusal) // it waited for activation
	}
	return c
}

// wanting is a request for a generated input.
func wanting(id string, slo time.Duration) *protocol.InferRequest {
	ms := slo.Seconds() * 1000
	return &protocol.InferRequest{ID: id, Parameters: protocol.InferParameters{SLOMS: &ms}}
}

// unmeetable has a request of 1 ms refused, and returns its id. On a busy machine 1 ms may
// pass before the scheduler sees the request: then the next one tries.
func unmeetable(t *testing.T, c *client.Client) string {
	t.Helper()
	for i, end := 0, time.Now().Add(30*time.Second); ; i++ {
		id := fmt.Sprintf("cat-2-%d", i)
		_, refusal := c.Infer(t.Context(), "googlenet-2", wanting(id, time.Millisecond), 10*time.Second)
		switch {
		case refusal != nil && refusal.Code == protocol.DeadlineUnmeetable:
			return id
		case refusal == nil || refusal.Code != protocol.DeadlineExceeded || time.Now().After(end):
			t.Fatalf("with 1 ms: %v", refusal)
		}
	}
}

// The running stack says why: of a request that it served, of one that it refused, and
// that it knows nothing of another.
func TestTheRunningStackExplainsItself(t *testing.T) {
	c := served(t)
	if _, refusal := c.Infer(t.Context(), "googlenet-2", wanting("cat-1", 10*time.Second), 0); refusal != nil {
		t.Fatal(refusal)
	}
	cat2 := unmeetable(t, c)
	for _, row := range []struct {
		args string
		code int
		says []string // on either stream
	}{
		{"explain cat-1", 0, []string{"googlenet-2: done in time", `"cat-1" arrived at `, "execution  ", "At the scheduler, from ", "model cold", "expected were"}},
		{"explain " + cat2, 0, []string{"refused DEADLINE_UNMEETABLE", `"` + cat2 + `" arrived at `, "arrived with", "saved by"}},
		{"explain " + cat2 + " cat-1", 0, []string{"done in time", "refused DEADLINE_UNMEETABLE"}},
		{"explain cat-9", 1, []string{"not known: cat-9"}},
		{"explain ff:7 cat-1", 1, []string{"not known: ff:7", "done in time"}},
		{"explain", 0, []string{"since the scheduler of epoch", "SLO too tight", "The latest that front doors did not serve:", cat2}},
	} {
		code, stdout, stderr := invoke(t, strings.Fields(row.args)...)
		for _, text := range row.says {
			if code != row.code || !strings.Contains(stdout+stderr, text) {
				t.Errorf("%s: exit code %d, wanted %d and %q in:\n%s%s", row.args, code, row.code, text, stdout, stderr)
			}
		}
	}
	_, stdout, _ := invoke(t, "explain", cat2, "--json")
	var r struct {
		Requests []struct {
			explain.LiveExplanation
			FrontDoor *protocol.DoorRequest `json:"front_door"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || len(r.Requests) != 1 {
		t.Fatalf("%v: %s", err, stdout)
	}
	x := r.Requests[0]
	if x.Outcome != "refused DEADLINE_UNMEETABLE" || len(x.WhatIf) == 0 || x.FrontDoor == nil || x.FrontDoor.SLOMS != 1 || x.Arrived.IsZero() {
		t.Errorf("%s", stdout)
	}
	// By its own id, as by that of its client.
	if code, again, _ := invoke(t, "explain", x.ID); code != 0 || !strings.Contains(again, cat2) {
		t.Errorf("%s: exit code %d, %s", x.ID, code, again)
	}
}

func TestTopShowsARunningStack(t *testing.T) {
	c := served(t)
	ctx, stop := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for ctx.Err() == nil {
			_, _ = c.Infer(ctx, "googlenet-1", wanting("", time.Second), 0)
		}
	}()
	defer func() { stop(); <-asked }()
	parts := []string{"ACTIVE  1 front door  scheduler of epoch", "1 worker", " req/s  in SLO ", "/0 ", "/1 ", "pages", "googlenet-1 ", "of 2 models"}
	text := snapshot(t, func(text string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
	}, "--once")
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
	var sum top.Summary
	text = snapshot(t, func(text string) bool {
		sum = top.Summary{}
		return json.Unmarshal([]byte(text), &sum) == nil && len(sum.GPUs) == 2 && sum.GPUs[0].Exec+sum.GPUs[1].Exec > 0 && sum.ExecOverMS+sum.ExecUnderMS > 0
	}, "--json")
	if sum.Stage != "ACTIVE" || sum.RatePerS <= 0 || len(sum.Models) != 1 || sum.Models[0].Copies < 1 || sum.P99MS <= 0 {
		t.Errorf("%s", text)
	}
}

// snapshot is what clockwork top prints; where the machine is too busy for services to
// tell all within the interval, it is asked again.
func snapshot(t *testing.T, whole func(string) bool, flag string) (text string) {
	t.Helper()
	for range 10 {
		code, stdout, stderr := invoke(t, "top", flag, "--interval", "2500ms")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		if text = stdout; whole(text) {
			break
		}
	}
	return text
}

func TestTopWithoutAStackSaysSo(t *testing.T) {
	t.Setenv("NATS_URL", "nats://127.0.0.1:1")
	for args, want := range map[string]int{"top": 1, "explain": 1, "explain cat-1": 1, "top --interval 10ms": 2, "top --count=-1": 2} {
		code, stdout, stderr := invoke(t, strings.Fields(args)...)
		if code != want || stdout != "" || stderr == "" {
			t.Errorf("%s: exit code %d, wanted %d: %s%s", args, code, want, stdout, stderr)
		}
	}
}
