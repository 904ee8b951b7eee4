package frontdoor

import (
	"encoding/json"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// bigOutput is the size of model big's output.
const bigOutput = 200_000

// answeringJSON is a front door that serves model a, and model big, whose answers in JSON
// take long to encode.
func answeringJSON(t *testing.T) *stack {
	t.Helper()
	s := newStack(t)
	s.frontDoor()
	s.loaded("a")
	big := bustest.Spec("big", "zoo/big")
	big.Outputs = []protocol.TensorSpec{{Name: "y", Datatype: protocol.Uint8, Shape: []int64{bigOutput}}}
	if err := s.leads().PutModel(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	s.activate()
	s.awaitServing()
	return s
}

// TestAnAnswerInJSONKeepsNobodyWaiting: answers that take long to encode wait for each
// other, and for nobody else; whether one is in time is decided when it is encoded (G2).
func TestAnAnswerInJSONKeepsNobodyWaiting(t *testing.T) {
	s := answeringJSON(t)
	for range cap(s.door.encoders) {
		s.door.encoders <- struct{}{} // as many are being encoded as may be
	}
	asked := time.Now()
	late := s.infer("big", `{"parameters":{"slo_ms":300},"inputs":[]}`)
	first := bustest.Next(t, "the submission", s.submit)
	inTime := s.infer("big", `{"parameters":{"slo_ms":60000},"inputs":[]}`)
	second := bustest.Next(t, "the submission", s.submit)
	s.output(first, make([]byte, bigOutput))
	s.output(second, make([]byte, bigOutput))
	bustest.Until(t, "both wait to be encoded", func() bool { return len(s.door.slowAnswers) == 2 || len(late) == 1 && len(s.door.slowAnswers) == 1 })
	other := s.infer("a", jsonInfer)
	s.output(bustest.Next(t, "the submission", s.submit), raw)
	if code := codeOf(t, bustest.Next(t, "another client's reply", other)); code != protocol.OK {
		t.Error(code)
	}
	if len(inTime) != 0 {
		t.Error("an answer was encoded although as many were as may be")
	}
	time.Sleep(time.Until(asked.Add(350 * time.Millisecond)))
	for range cap(s.door.encoders) {
		<-s.door.encoders
	}
	if code := codeOf(t, bustest.Next(t, "the late reply", late)); code != protocol.DeadlineExceeded {
		t.Errorf("encoded after its deadline: %s", code)
	}
	reply := bustest.Next(t, "the reply in time", inTime)
	answer, fault := wire.DecodeResponse(reply.Data)
	if fault != nil || !json.Valid(reply.Data) || len(answer.Outputs) != 1 || len(answer.Outputs[0].Data) != bigOutput {
		t.Fatalf("the reply in time: %v, %d bytes", fault, len(reply.Data))
	}
	if waited := answer.Parameters.LatencyUS; waited < 200_000 {
		t.Errorf("a latency of %d us does not count the wait to be encoded", waited)
	}
	bustest.Until(t, "nothing waits", func() bool { return len(s.door.slowAnswers) == 0 && len(s.door.encoders) == 0 })
}

// TestAnAnswerInJSONIsSentWhereNoMoreMayWait: by whoever has it.
func TestAnAnswerInJSONIsSentWhereNoMoreMayWait(t *testing.T) {
	s := answeringJSON(t)
	for range cap(s.door.slowAnswers) {
		s.door.slowAnswers <- struct{}{}
	}
	replies := s.infer("big", `{"parameters":{"slo_ms":60000},"inputs":[]}`)
	s.output(bustest.Next(t, "the submission", s.submit), make([]byte, bigOutput))
	if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.OK {
		t.Error(code)
	}
}
