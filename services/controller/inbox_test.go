package controller

import (
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
)

// TestNobodyIsAnsweredOnSubjectsOfTheStack by the control endpoints.
func TestNobodyIsAnsweredOnSubjectsOfTheStack(t *testing.T) {
	s, _ := serving(t)
	for _, reply := range []string{"$KV.clockwork_state.stage", "clockwork.scheduler.submit", ""} {
		for _, subject := range []string{"clockwork.load", "clockwork.ls", "clockwork.state"} {
			if err := s.client.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: []byte(`{}`)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Answered after those.
	s.ask("clockwork.load", `{}`)
	s.view()
	if stage, _, _, err := s.state.Stage(t.Context()); err != nil || stage != protocol.Active {
		t.Errorf("the stage in the store: %v, %v", stage, err)
	}
	if len(s.submit) != 0 {
		t.Error("something was answered on the scheduler's subject")
	}
}

func TestALoadWarnsOfItemsThatFitIntoNoMessage(t *testing.T) {
	item := func(n int64) []protocol.TensorSpec {
		return []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{n}}}
	}
	for _, row := range []struct {
		in, out int64
		want    int
	}{{10, 10, 0}, {1 << 20, 10, 1}, {10, 1 << 20, 1}, {1 << 20, 1 << 20, 2}} {
		if got := oversized(&protocol.LoadReply{Inputs: item(row.in), Outputs: item(row.out)}, 1<<20); len(got) != row.want {
			t.Errorf("inputs of %d and outputs of %d floats: %q", row.in, row.out, got)
		}
	}
}
