package integration

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// These tests check codes that a client gets when a part of the stack is missing
// or late. Each test has the stack without that part.

// refusal loads a model and returns the error.
func (s *stack) refusal(path string) *protocol.Error {
	s.t.Helper()
	s.awaitState("a controller", func(*protocol.StackState) bool { return true })
	_, refusal := s.client.Load(s.t.Context(), protocol.LoadRequest{Path: path})
	if refusal == nil {
		s.t.Fatalf("%s was loaded", path)
	}
	return refusal
}

func TestCodeLoadTimeoutWithoutAWorker(t *testing.T) {
	c := quick()
	c.controller.LoadTimeout = 300 * time.Millisecond
	s := startBroker(t, c)
	s.startController()
	if refusal := s.refusal("zoo/resnet18_v2"); refusal.Code != protocol.LoadTimeout || !refusal.Retryable {
		t.Errorf("refused with %+v", refusal)
	}
}

func TestCodeBufferTimeoutWithoutAScheduler(t *testing.T) {
	c := quick()
	c.controller.BufferTimeout = 500 * time.Millisecond
	s := startBroker(t, c)
	s.startController()
	s.startProfiler()
	s.startWorker("w1")
	s.load("zoo/resnet18_v2", 1)
	state := s.awaitState("ACTIVE", func(st *protocol.StackState) bool { return st.Stage == protocol.Active })
	if state.Scheduler != protocol.ServiceAbsent || state.Epoch != 0 {
		t.Errorf("scheduler %q, epoch %d", state.Scheduler, state.Epoch)
	}
	_, refusal := s.infer("resnet18_v2", 5*time.Second, patience)
	if refusal == nil || refusal.Code != protocol.BufferTimeout || refusal.BufferedMS < 500 {
		t.Errorf("refused with %+v", refusal)
	}
}

func TestCodeLoadingClosedAfterActivation(t *testing.T) {
	s := startStack(t, quick())
	s.load("zoo/resnet18_v2", 1)
	s.activated()
	for _, path := range []string{"zoo/resnet18_v2", "zoo/resnet50_v2"} {
		if refusal := s.refusal(path); refusal.Code != protocol.LoadingClosed || refusal.Retryable {
			t.Errorf("%s: refused with %+v", path, refusal)
		}
	}
}

// TestCodeBatchTooLargeOfALargeInput sends 17 pictures, more than one message
// can carry: the input is truncated, but the error must be about the batch.
func TestCodeBatchTooLargeOfALargeInput(t *testing.T) {
	s := startStack(t, quick())
	s.load("zoo/resnet18_v2", 1)
	s.activated()
	in := protocol.Tensor{Name: "input", Datatype: protocol.FP32, Shape: []int64{17, 3, 224, 224}, Data: make([]byte, 1<<20)}
	_, refusal := s.client.Infer(t.Context(), "resnet18_v2", &protocol.InferRequest{Inputs: []protocol.Tensor{in}}, patience)
	if refusal == nil || refusal.Code != protocol.BatchTooLarge || refusal.Got != 17 || refusal.Limit != 16 {
		t.Errorf("refused with %+v", refusal)
	}
}
