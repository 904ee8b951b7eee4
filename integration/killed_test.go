package integration

import (
	"bytes"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/badmodels"
)

// TestG9AnExecutorKilledWhileIdleCostsNoRequest: when memory runs out, the kernel kills an
// executor, whatever it is at. Who comes at that moment, or while the next one begins, is not
// blamed, waits as its deadline allows, and is served; nor is the model quarantined.
func TestG9AnExecutorKilledWhileIdleCostsNoRequest(t *testing.T) {
	models := t.TempDir()
	if err := badmodels.Write(models, "div", badmodels.Quotient()); err != nil {
		t.Fatal(err)
	}
	s, up := startRealStack(t, models)
	s.load("div", 1)
	s.activated()
	slo := float64(patience.Milliseconds())
	half := len(badmodels.Sound) / 2
	request := &protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo}, Inputs: []protocol.Tensor{
		{Name: "a", Datatype: protocol.Int32, Shape: []int64{1, 1}, Data: badmodels.Sound[:half]},
		{Name: "b", Datatype: protocol.Int32, Shape: []int64{1, 1}, Data: badmodels.Sound[half:]},
	}}
	s.awaitQuotient("the start")
	for _, pause := range []time.Duration{0, 0, time.Millisecond, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		executors := children(t, up.Pid())
		if len(executors) != 1 {
			t.Fatalf("the executors are %v", executors)
		}
		if err := syscall.Kill(executors[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause)
		response, refusal := s.client.Infer(t.Context(), "div", request, 2*patience)
		if refusal != nil {
			t.Errorf("%v after its executor was killed: %v", pause, refusal)
		} else if got := response.Outputs[0].Data; !bytes.Equal(got, badmodels.Seven) {
			t.Errorf("%v after its executor was killed, 42 / 6 is % x", pause, got)
		}
	}
	if log := up.Log(); strings.Contains(log, "quarantined") {
		t.Errorf("the log:\n%s", log)
	}
}

// TestG9LoadsThatHangEndWithTheirTime: as many models as a worker reads at a time hang when
// they are loaded. Their loads end, and others go on.
func TestG9LoadsThatHangEndWithTheirTime(t *testing.T) {
	models := t.TempDir()
	for name, file := range map[string][]byte{"hang1": badmodels.Repetition(1 << 50), "hang2": badmodels.Repetition(1 << 49), "div": badmodels.Quotient()} {
		if err := badmodels.Write(models, name, file); err != nil {
			t.Fatal(err)
		}
	}
	s, up := startRealStack(t, models, "--load-timeout", "6s")
	s.awaitState("a worker", func(st *protocol.StackState) bool { return len(st.Workers) == 1 })
	var loads sync.WaitGroup
	for _, path := range []string{"hang1", "hang2"} {
		loads.Go(func() {
			_, refusal := s.tryLoad(path, 1)
			if refusal == nil || refusal.Code != protocol.ModelCorrupt && refusal.Code != protocol.LoadTimeout {
				t.Errorf("%s: %v", path, refusal)
			}
		})
	}
	loads.Wait()
	for deadline := time.Now().Add(3 * patience); ; {
		_, refusal := s.tryLoad("div", 1)
		if refusal == nil {
			break
		}
		if refusal.Code != protocol.LoadTimeout || time.Now().After(deadline) {
			t.Fatalf("%v; the log:\n%s", refusal, up.Log())
		}
	}
	s.activated()
	s.awaitQuotient("two loads that hung")
	if left := children(t, up.Pid()); len(left) != 1 {
		t.Errorf("the children are %v", left)
	}
}
