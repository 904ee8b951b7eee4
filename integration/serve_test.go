package integration

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// TestServesFromLoadToReply goes once through all steps: load, countdown,
// profiling, activation, a cold request, a warm one.
func TestServesFromLoadToReply(t *testing.T) {
	s := startStack(t, quick())
	reply := s.load("zoo/resnet50_v2", 2)
	if len(reply.Models) != 2 || reply.Models[0] != "resnet50_v2-1" || reply.Pages != 7 {
		t.Fatalf("load answered %+v", reply)
	}
	state := s.activated()
	if len(state.Models) != 2 || len(state.Workers) != 1 {
		t.Fatalf("state shows %d models, %d workers", len(state.Models), len(state.Workers))
	}
	for i, cold := range []bool{true, false} {
		response, refusal := s.infer("resnet50_v2-1", 5*time.Second, 0)
		if refusal != nil {
			t.Fatalf("request %d: %v", i, refusal)
		}
		if response.Parameters.ColdStart != cold || response.Parameters.BatchSize != 1 || len(response.Outputs) != 1 || len(response.Outputs[0].Data) != 4000 {
			t.Errorf("request %d: cold %t, batch %d, outputs %d", i, response.Parameters.ColdStart, response.Parameters.BatchSize, len(response.Outputs))
		}
	}
	resident := s.awaitState("the weights on the GPU", func(st *protocol.StackState) bool { return st.Workers[0].GPUs[0].PagesUsed == 7 })
	if models := resident.Workers[0].GPUs[0].Models; len(models) != 1 || models[0] != "resnet50_v2-1" {
		t.Errorf("resident: %v", models)
	}
}
