package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/badmodels"
)

// withoutONNX names the variable that lets tests go without ONNX Runtime.
const withoutONNX = "CLOCKWORK_TEST_NO_ONNX"

// startRealStack starts clockwork up with real models on one GPU, and a client of it.
func startRealStack(t *testing.T, models string, more ...string) (*stack, *process) {
	t.Helper()
	library, err := (fetch.Fetcher{}).Library(t.Context())
	if err != nil && os.Getenv(withoutONNX) == "1" {
		t.Skipf("%s=1, and this test needs ONNX Runtime: %v", withoutONNX, err)
	} else if err != nil {
		t.Fatalf("this test needs ONNX Runtime: %v (set %s=1 to go without)", err, withoutONNX)
	}
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	up := startProcess(t, append([]string{"up", "--listen", address, "--backend", "onnx", "--models", models, "--onnx-library", library, "--onnx-cache", t.TempDir(),
		"--pages", "4", "--page-size", "64KiB", "--load-idle", "700ms", "--profile-iterations", "3", "--log-level", "info"}, more...)...)
	s := &stack{t: t, news: make(chan struct{}, 1)}
	for deadline := time.Now().Add(patience); ; {
		if s.client, err = client.Connect("nats://"+address, ""); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Cleanup(s.client.Close)
	return s, up
}

// divide asks the model div for a quotient; the input is that of badmodels.Quotient.
func (s *stack) divide(input []byte) (*protocol.InferResponse, *protocol.Error) {
	half := len(input) / 2
	return s.inferWith("div",
		protocol.Tensor{Name: "a", Datatype: protocol.Int32, Shape: []int64{1, 1}, Data: input[:half]},
		protocol.Tensor{Name: "b", Datatype: protocol.Int32, Shape: []int64{1, 1}, Data: input[half:]})
}

func (s *stack) inferWith(model string, inputs ...protocol.Tensor) (*protocol.InferResponse, *protocol.Error) {
	slo := 2000.0
	return s.client.Infer(s.t.Context(), model, &protocol.InferRequest{Inputs: inputs, Parameters: protocol.InferParameters{SLOMS: &slo}}, patience)
}

// awaitQuotient waits until div serves.
func (s *stack) awaitQuotient(after string) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * patience); ; {
		response, refusal := s.divide(badmodels.Sound)
		if refusal == nil {
			if got := response.Outputs[0].Data; !bytes.Equal(got, badmodels.Seven) {
				s.t.Fatalf("after %s: 42 / 6 is % x", after, got)
			}
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("after %s nothing is served: %v", after, refusal)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// children returns the processes that a process started, and that are alive.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // the thread may have ended
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil && alive(child) {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// alive reports whether a process runs; one that has ended and that nobody waited for does
// not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// TestG9AnInputThatEndsOrHangsItsExecutorEndsNothingElse: clockwork up lives on, the log
// names the model, and the GPU serves again by itself. Killed, it leaves nothing behind.
func TestG9AnInputThatEndsOrHangsItsExecutorEndsNothingElse(t *testing.T) {
	models := t.TempDir()
	for name, file := range map[string][]byte{"div": badmodels.Quotient(), "loop": badmodels.Repetition(0)} {
		if err := badmodels.Write(models, name, file); err != nil {
			t.Fatal(err)
		}
	}
	s, up := startRealStack(t, models)
	s.load("div", 1)
	s.load("loop", 1)
	s.activated()
	s.awaitQuotient("the start")
	first := children(t, up.Pid())
	if len(first) != 1 {
		t.Fatalf("it has the executors %v", first)
	}

	if response, refusal := s.divide(badmodels.Crash); refusal == nil {
		t.Errorf("the quotient that there is not is %+v", response)
	}
	s.awaitQuotient("a crash")
	second := children(t, up.Pid())
	if len(second) != 1 || second[0] == first[0] || !logged(up, "executing=div", "SIGFPE") {
		t.Errorf("executors %v, then %v; the log:\n%s", first, second, up.Log())
	}

	endless := protocol.Tensor{Name: "x", Datatype: protocol.Int64, Shape: []int64{1, 1}, Data: badmodels.Endless}
	if response, refusal := s.inferWith("loop", endless); refusal == nil {
		t.Errorf("what never ends is %+v", response)
	}
	s.awaitQuotient("a hang")
	third := children(t, up.Pid())
	if len(third) != 1 || third[0] == second[0] || !logged(up, "executing=loop", "overdue") {
		t.Errorf("executors %v, then %v; the log:\n%s", second, third, up.Log())
	}

	if err := up.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); slices.ContainsFunc(third, alive); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("of %v some outlived the process that started them", third)
		}
	}
}

// logged reports whether a line of a process's log, as text or JSON, has all of these.
func logged(p *process, parts ...string) bool {
	for line := range strings.Lines(p.Log()) {
		line = strings.NewReplacer(`":"`, "=", `"`, "").Replace(line)
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			return true
		}
	}
	return false
}
