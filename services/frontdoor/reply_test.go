package frontdoor

import (
	"bytes"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/watch"
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
	for range cap(s.door.broker.encoders) {
		s.door.broker.encoders <- struct{}{} // as many are being encoded as may be
	}
	asked := time.Now()
	late := s.infer("big", `{"parameters":{"slo_ms":300},"inputs":[]}`)
	first := bustest.Next(t, "the submission", s.submit)
	inTime := s.infer("big", `{"parameters":{"slo_ms":60000},"inputs":[]}`)
	second := bustest.Next(t, "the submission", s.submit)
	s.output(first, make([]byte, bigOutput))
	s.output(second, make([]byte, bigOutput))
	bustest.Until(t, "both wait to be encoded", func() bool {
		return len(s.door.broker.slowAnswers) == 2 || len(late) == 1 && len(s.door.broker.slowAnswers) == 1
	})
	other := s.infer("a", jsonInfer)
	s.output(bustest.Next(t, "the submission", s.submit), raw)
	if code := codeOf(t, bustest.Next(t, "another client's reply", other)); code != protocol.OK {
		t.Error(code)
	}
	if len(inTime) != 0 {
		t.Error("an answer was encoded although as many were as may be")
	}
	time.Sleep(time.Until(asked.Add(350 * time.Millisecond)))
	for range cap(s.door.broker.encoders) {
		<-s.door.broker.encoders
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
	bustest.Until(t, "nothing waits", func() bool { return len(s.door.broker.slowAnswers) == 0 && len(s.door.broker.encoders) == 0 })
}

// TestAnAnswerInJSONIsSentWhereNoMoreMayWait: by whoever has it.
func TestAnAnswerInJSONIsSentWhereNoMoreMayWait(t *testing.T) {
	s := answeringJSON(t)
	for range cap(s.door.broker.slowAnswers) {
		s.door.broker.slowAnswers <- struct{}{}
	}
	replies := s.infer("big", `{"parameters":{"slo_ms":60000},"inputs":[]}`)
	s.output(bustest.Next(t, "the submission", s.submit), make([]byte, bigOutput))
	if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.OK {
		t.Error(code)
	}
}

// unsentRecorder counts the OKs that the core decided, and keeps what it told a client in
// place of one.
type unsentRecorder struct {
	ok   atomic.Int64
	told atomic.Pointer[protocol.Error]
}

func (r *unsentRecorder) Begin(frontdoor.Config) {}

func (r *unsentRecorder) Step(_ protocol.Time, e frontdoor.Event, out *frontdoor.Output) {
	if _, is := e.(*frontdoor.Unsent); is {
		r.told.Store(out.Refusal)
	}
	for i := range out.Ended {
		if out.Ended[i].Refusal == nil {
			r.ok.Add(1)
		}
	}
}

// unsentTo asks for an OK that is decided and not sent, and has everybody who is told of
// the request say what the client was told.
func unsentTo(t *testing.T, want protocol.Code, model, body string, send func(*stack, protocol.Submission)) {
	t.Helper()
	s := newStack(t)
	seen, told := &unsentRecorder{}, make(chan watch.Request, 100)
	hub := &watch.Hub{}
	hub.OnRequest(func(r *watch.Request) { told <- *r })
	s.config.Telemetry, s.config.Observers = hub, frontdoor.Observers{seen}
	s.frontDoor()
	s.loaded("a")
	half := bustest.Spec("half", "zoo/half") // of what the broker carries
	half.Outputs = []protocol.TensorSpec{{Name: "y", Datatype: protocol.Uint8, Shape: []int64{s.bus.Payload.MaxPayload() / 2}}}
	if err := s.leads().PutModel(t.Context(), half); err != nil {
		t.Fatal(err)
	}
	s.activate()
	s.awaitServing()
	bustest.Next(t, "what awaitServing asked", told)
	replies := s.infer(model, body)
	r := bustest.Next(t, "the submission", s.submit)
	send(s, r)
	m := bustest.Next(t, "the reply", replies)
	if code := codeOf(t, m); code != want {
		t.Fatalf("the client is told %s, want %s", code, want)
	}
	if refusal := seen.told.Load(); seen.ok.Load() != 1 || refusal == nil || refusal.Code != want {
		t.Errorf("the core's observers saw %d OKs, then %v; the client was told %s", seen.ok.Load(), refusal, want)
	}
	if of := bustest.Next(t, "what telemetry is told", told); of.Code != want || of.ID != r.ID {
		t.Errorf("telemetry is told %s of %v", of.Code, of.ID)
	}
	answer, _ := s.door.live.answer(protocol.Question{IDs: []string{r.ID.String()}})
	if record := answer.(protocol.DoorRecord); len(record.Requests) != 1 || record.Requests[0].Code != want {
		t.Errorf("the front door remembers %+v", record.Requests)
	}
	if v := s.door.snapshot(); v.Answered != v.Received {
		t.Errorf("received %d, answered %d", v.Received, v.Answered)
	}
}

// TestAnAnswerThatIsTooLargeIsNoOK, to nobody.
func TestAnAnswerThatIsTooLargeIsNoOK(t *testing.T) {
	unsentTo(t, protocol.PayloadTooLarge, "half", `{"parameters":{"slo_ms":60000},"inputs":[]}`, func(s *stack, r protocol.Submission) {
		s.output(r, bytes.Repeat([]byte{255}, int(s.bus.Payload.MaxPayload())/2)) // four characters of JSON each
	})
}

// TestAnAnswerThatIsTooLateIsNoOK, to nobody: it was decided in time, and a message before it
// took long.
func TestAnAnswerThatIsTooLateIsNoOK(t *testing.T) {
	unsentTo(t, protocol.DeadlineExceeded, "a", `{"parameters":{"slo_ms":200},"inputs":[]}`, func(s *stack, r protocol.Submission) {
		asked := time.Now()
		s.door.onControl.Lock()
		s.output(r, raw)
		bustest.Until(t, "the answer is decided", func() bool { return s.door.snapshot().InFlight == 0 })
		time.Sleep(time.Until(asked.Add(250 * time.Millisecond)))
		s.door.onControl.Unlock()
	})
}
