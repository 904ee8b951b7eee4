package frontdoor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

func TestAnyClientIsServed(t *testing.T) {
	s, _ := serving(t)
	replies := s.infer("a", jsonInfer)
	r := bustest.Next(t, "the submission", s.submit)
	if r.Model != "a" || r.Batch != 1 || r.Bytes != 8 || r.Generated || r.Budget <= 0 || r.Budget > 15*time.Second {
		t.Errorf("submission %+v", r)
	}
	s.output(r, raw)
	var answer struct {
		ModelName string `json:"model_name"`
		ID        string
		Outputs   []struct {
			Name  string
			Shape []int
			Data  []float64
		}
	}
	if err := json.Unmarshal(bustest.Next(t, "the reply", replies).Data, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.ModelName != "a" || answer.ID != "r1" || len(answer.Outputs) != 1 || !slices.Equal(answer.Outputs[0].Data, []float64{1, 2.5}) {
		t.Errorf("answer %+v", answer)
	}

	// The same in msgpack, with raw bytes and with an integer SLO, written by nothing of ours.
	body, err := msgpack.Marshal(map[string]any{
		"id": "r2", "parameters": map[string]any{"slo_ms": 15000},
		"inputs": []any{map[string]any{"name": "x", "shape": []int{1, 2}, "datatype": "FP32", "data": raw}},
	})
	if err != nil {
		t.Fatal(err)
	}
	replies = s.infer("a", string(body))
	s.output(bustest.Next(t, "the submission", s.submit), raw)
	var packed map[string]any
	if err := msgpack.Unmarshal(bustest.Next(t, "the reply", replies).Data, &packed); err != nil {
		t.Fatal(err)
	}
	outputs := packed["outputs"].([]any)
	if data := outputs[0].(map[string]any)["data"].([]byte); !slices.Equal(data, raw) || packed["id"] != "r2" {
		t.Errorf("answer %+v", packed)
	}
}

func TestTheHeaderSetsTheDeadline(t *testing.T) {
	s, _ := serving(t)
	m := nats.NewMsg("clockwork.infer.a")
	m.Header.Set("Clockwork-Timeout", "14s")
	m.Data = []byte(jsonInfer)
	go func() { _, _ = s.client.RequestMsg(m, bustest.Wait) }()
	r := bustest.Next(t, "the submission", s.submit)
	if r.Budget > 14*time.Second || r.Budget < time.Second {
		t.Errorf("budget %v, want at most 14 s", r.Budget)
	}
	s.output(r, raw)
	for _, bad := range []string{"75", "soon", "-1s", "0s", "2562047h48m", "NaN"} {
		m.Header.Set("Clockwork-Timeout", bad)
		reply, err := s.client.RequestMsg(m, bustest.Wait)
		if err != nil || codeOf(t, reply) != protocol.InvalidDeadline {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestBadInputIsRefusedAtTheDoor(t *testing.T) {
	s, _ := serving(t)
	in := func(shape, datatype, data string) string {
		return fmt.Sprintf(`{"inputs":[{"name":"x","shape":%s,"datatype":%q,"data":%s}]}`, shape, datatype, data)
	}
	slo := func(ms string) string { return fmt.Sprintf(`{"parameters":{"slo_ms":%s},"inputs":[]}`, ms) }
	for name, c := range map[string]struct {
		model, body string
		want        protocol.Code
	}{
		"unknown model":      {"nobody", jsonInfer, protocol.UnknownModel},
		"no name":            {"A-B", jsonInfer, protocol.UnknownModel},
		"empty body":         {"a", ``, protocol.BadMessage},
		"broken JSON":        {"a", `{"inputs":[`, protocol.BadMessage},
		"trailing bytes":     {"a", jsonInfer + `{}`, protocol.BadMessage},
		"broken msgpack":     {"a", "\x81\xa6inputs\xdd\xff\xff\xff\xff", protocol.BadMessage},
		"trailing msgpack":   {"a", "\x80\x00", protocol.BadMessage},
		"deep":               {"a", `{"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`, protocol.BadMessage},
		"many objects":       {"a", `{"inputs":[` + strings.Repeat(`{},`, 70000) + `{}]}`, protocol.BadMessage},
		"a long id":          {"a", `{"id":"` + strings.Repeat("x", 65) + `","inputs":[]}`, protocol.BadMessage},
		"a huge priority":    {"a", `{"parameters":{"priority":1e99},"inputs":[]}`, protocol.BadMessage},
		"wrong shape":        {"a", in(`[1,3]`, "FP32", `[1,2,3]`), protocol.InvalidInput},
		"negative shape":     {"a", in(`[-1,2]`, "FP32", `[1,2]`), protocol.InvalidInput},
		"huge shape":         {"a", in(`[4611686018427387904,2]`, "FP32", `[1,2]`), protocol.BatchTooLarge},
		"no batch":           {"a", in(`[2]`, "FP32", `[1,2]`), protocol.InvalidInput},
		"wrong size":         {"a", in(`[1,2]`, "FP32", `[1]`), protocol.InvalidInput},
		"wrong type":         {"a", in(`[1,2]`, "INT32", `[1,2]`), protocol.InvalidInput},
		"unknown type":       {"a", in(`[1,2]`, strings.Repeat("x", 100000), `[1,2]`), protocol.InvalidInput},
		"huge numbers":       {"a", in(`[1,2]`, "FP32", `[1e999,2]`), protocol.InvalidInput},
		"a very long number": {"a", in(`[1,2]`, "FP32", `[`+strings.Repeat("9", 100000)+`,2]`), protocol.InvalidInput},
		"nested numbers":     {"a", in(`[1,2]`, "FP32", `[[1],[2]]`), protocol.InvalidInput},
		"wrong name":         {"a", strings.Replace(jsonInfer, `"x"`, `"z"`, 1), protocol.InvalidInput},
		"two inputs":         {"a", `{"inputs":[{"name":"x","datatype":"FP32","data":[]},{"name":"x","datatype":"FP32","data":[]}]}`, protocol.InvalidInput},
		"too many items":     {"a", in(`[5,2]`, "FP32", `[1,2,3,4,5,6,7,8,9,0]`), protocol.BatchTooLarge},
		"too many, cut off":  {"a", in(`[5,2]`, "FP32", `[1]`), protocol.BatchTooLarge},
		"no time":            {"a", slo("0"), protocol.InvalidDeadline},
		"negative time":      {"a", slo("-5"), protocol.InvalidDeadline},
		"2^63 ms":            {"a", slo("9223372036854775808"), protocol.InvalidDeadline},
		"an eternity":        {"a", slo("1e300"), protocol.InvalidDeadline},
		"next to nothing":    {"a", slo("1e-9"), protocol.InvalidDeadline},
		"NaN":                {"a", "\x82\xaaparameters\x81\xa6slo_ms\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xa6inputs\x90", protocol.InvalidDeadline},
		"infinity":           {"a", "\x82\xaaparameters\x81\xa6slo_ms\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00\xa6inputs\x90", protocol.InvalidDeadline},
	} {
		if code := codeOf(t, s.ask("clockwork.infer."+c.model, c.body)); code != c.want {
			t.Errorf("%s: %s, want %s", name, code, c.want)
		}
	}
	if len(s.submit) != 0 {
		t.Error("something of it went to the scheduler")
	}
}

func TestAPictureMayComeAsJSON(t *testing.T) {
	numbers := "[0.5" + strings.Repeat(",0.123456", 3*224*224-1) + "]"
	in, fault := wire.DecodeInfer([]byte(`{"inputs":[{"name":"x","shape":[1,3,224,224],"datatype":"FP32","data":` + numbers + `}]}`))
	if fault != nil || len(in.Inputs[0].Data) != 4*3*224*224 {
		t.Errorf("150,528 numbers: %v", fault)
	}
}

func TestARequestHasOneReply(t *testing.T) {
	s, _ := serving(t)
	replies := s.infer("a", jsonInfer)
	r := bustest.Next(t, "the submission", s.submit)
	s.output(r, raw)
	for range 4 {
		s.answer("w1", r, raw)
	}
	if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.OK {
		t.Error(code)
	}
	s.decide(protocol.Dispatch{ID: r.ID, Kind: protocol.Refuse, Refusal: protocol.Refusal(protocol.Internal)})
	// A later request's reply comes after whatever else there was.
	after := s.infer("a", jsonInfer)
	s.output(bustest.Next(t, "the submission", s.submit), raw)
	bustest.Next(t, "the second reply", after)
	if len(replies) != 0 {
		t.Errorf("a second reply: %s", (<-replies).Data)
	}
}

func TestWorkersThatAnswerNonsenseAreAnError(t *testing.T) {
	s, _ := serving(t)
	for _, data := range [][]byte{nil, raw[:7], append(raw, 0)} {
		replies := s.infer("a", jsonInfer)
		s.output(bustest.Next(t, "the submission", s.submit), data)
		if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.Internal {
			t.Errorf("%d bytes: %s", len(data), code)
		}
	}
}

func TestTheDeadlineAnswers(t *testing.T) {
	s, _ := serving(t)
	asked := time.Now()
	if code := codeOf(t, s.ask("clockwork.infer.a", `{"parameters":{"slo_ms":300},"inputs":[]}`)); code != protocol.DeadlineExceeded {
		t.Errorf("without an outcome: %s", code)
	}
	if took := time.Since(asked); took < 300*time.Millisecond {
		t.Errorf("answered after %v, before the deadline", took)
	}
	told := s.event(protocol.EventMiss)
	for told.Code == protocol.UnknownModel { // the request of awaitServing
		told = s.event(protocol.EventMiss)
	}
	if told.Model != "a" || told.Total != 1 || told.Code != protocol.DeadlineExceeded {
		t.Errorf("told as %+v", told)
	}
}

// TestG2AnOKThatWaitsToBeSentIsNone: it was decided in time, and sending it took until after
// the deadline.
func TestG2AnOKThatWaitsToBeSentIsNone(t *testing.T) {
	s, _ := serving(t)
	const slo = 200 * time.Millisecond
	asked := time.Now()
	replies := s.infer("a", `{"parameters":{"slo_ms":200},"inputs":[]}`)
	r := bustest.Next(t, "the submission", s.submit)
	s.door.onControl.Lock() // a message to the scheduler takes long
	s.output(r, raw)
	bustest.Until(t, "the answer is decided", func() bool { return s.door.snapshot().InFlight == 0 })
	decided := time.Since(asked)
	time.Sleep(time.Until(asked.Add(slo + 50*time.Millisecond)))
	s.door.onControl.Unlock()
	code := codeOf(t, bustest.Next(t, "the reply", replies))
	if code != protocol.DeadlineExceeded {
		t.Errorf("%s, decided within %v, and sent after %v", code, decided, slo)
	}
}

func TestRefusalsOfTheSchedulerAreToldOn(t *testing.T) {
	s, _ := serving(t)
	replies := s.infer("a", jsonInfer)
	r := bustest.Next(t, "the submission", s.submit)
	refusal := protocol.Errorf(protocol.DeadlineUnmeetable, "no")
	refusal.EarliestMS = 143
	s.decide(protocol.Dispatch{ID: r.ID, Kind: protocol.Refuse, Refusal: refusal})
	m := bustest.Next(t, "the reply", replies)
	if got := wire.DecodeError(m.Data); codeOf(t, m) != protocol.DeadlineUnmeetable || got.EarliestMS != 143 {
		t.Errorf("%+v", got)
	}
}

func TestAnotherEpochIsGivenWhatIsInFlight(t *testing.T) {
	s, scheduler := serving(t)
	replies := s.infer("a", jsonInfer)
	first := bustest.Next(t, "the submission", s.submit)
	scheduler.set(protocol.Standby, 0)
	s.scheduler("s2", protocol.SchedulerActive, 9)
	again := bustest.Next(t, "the second submission", s.submit)
	if again.ID != first.ID || again.Budget >= first.Budget {
		t.Errorf("first %+v, then %+v", first, again)
	}
	former := []protocol.Dispatch{{ID: first.ID, Kind: protocol.Refuse, Epoch: s.epoch.Load() - 1, Refusal: protocol.Refusal(protocol.WorkerLost)}}
	s.publish(s.bus.Subjects.Dispatch(first.ID.Door), wire.Dispatches.Encode(&former))
	s.output(again, raw)
	if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.OK {
		t.Error(code)
	}
}

func TestARequestThatWaitsIsAnsweredInTheEnd(t *testing.T) {
	s := newStack(t)
	s.config.BufferTimeout = 500 * time.Millisecond
	s.frontDoor()
	asked := time.Now()
	m := s.ask("clockwork.infer.a", jsonInfer)
	if code := codeOf(t, m); code != protocol.BufferTimeout {
		t.Fatalf("answer %s", code)
	}
	if refusal := wire.DecodeError(m.Data); refusal.BufferedMS < 500 || time.Since(asked) < 500*time.Millisecond {
		t.Errorf("answered after %v, buffered for %v ms", time.Since(asked), refusal.BufferedMS)
	}
	s.awaitBuffered(0)
	// What is wrong for certain is not kept.
	if code := codeOf(t, s.ask("clockwork.infer.a", `{"inputs":`)); code != protocol.BadMessage {
		t.Errorf("broken JSON: %s", code)
	}
}

func TestRequestsThatWaitAreHandedOnInOrder(t *testing.T) {
	s := newStack(t)
	s.config.BufferTimeout = time.Minute
	stop := s.frontDoor()
	const n = 50
	var replies []chan *nats.Msg
	for i := range n {
		body := strings.Replace(jsonInfer, `"slo_ms":15000`, fmt.Sprintf(`"slo_ms":%d`, 15000+i), 1)
		replies = append(replies, s.infer("a", body))
	}
	s.awaitBuffered(n)
	stop() // nobody is bounced
	s.frontDoor()
	s.loaded("a")
	s.activate()
	for i := range n {
		r := bustest.Next(t, "a submission", s.submit)
		if total := (r.Budget + r.Elapsed).Round(time.Microsecond); total != 15*time.Second+time.Duration(i)*time.Millisecond {
			t.Fatalf("submission %d has an SLO of %v: not in order", i, total)
		}
		s.output(r, raw)
	}
	for i, c := range replies {
		response, fault := wire.DecodeResponse(bustest.Next(t, "a reply", c).Data)
		if fault != nil || response.Parameters.BufferedMS <= 0 {
			t.Errorf("reply %d: %+v, %v", i, response, fault)
		}
	}
	s.awaitBuffered(0)
	for i, c := range replies {
		if len(c) != 0 {
			t.Errorf("request %d has a second reply", i)
		}
	}
}

func TestAFullBufferRefuses(t *testing.T) {
	s := newStack(t)
	s.config.BufferRequests = 2
	s.frontDoor()
	s.infer("a", jsonInfer)
	s.infer("a", jsonInfer)
	s.awaitBuffered(2)
	if code := codeOf(t, s.ask("clockwork.infer.a", jsonInfer)); code != protocol.BufferFull {
		t.Errorf("a third: %s", code)
	}
	body := `{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","data":[` + strings.Repeat("1,", (bus.MaxPayload-300)/2) + `1]}]}`
	if code := codeOf(t, s.ask("clockwork.infer.a", body)); code != protocol.PayloadTooLarge {
		t.Errorf("one that leaves no room for headers: %s", code)
	}
}

func TestAClosingDoorAnswersWhatItHas(t *testing.T) {
	s := newStack(t)
	stop := s.frontDoor()
	s.loaded("a")
	s.activate()
	s.awaitServing()
	replies := s.infer("a", jsonInfer)
	bustest.Next(t, "the submission", s.submit)
	stop()
	if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.ShuttingDown {
		t.Error(code)
	}
}

// TestAClosingDoorFinishesWhatItHas where the answers come in time.
func TestAClosingDoorFinishesWhatItHas(t *testing.T) {
	s := newStack(t)
	s.config.StopWait = bustest.Wait
	stop := s.frontDoor()
	s.loaded("a")
	s.activate()
	s.awaitServing()
	replies := s.infer("a", jsonInfer)
	submitted := bustest.Next(t, "the submission", s.submit)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	bustest.Until(t, "nobody takes requests any more", func() bool {
		_, err := s.client.Request("clockwork.infer.nobody", []byte(`{}`), bustest.Wait)
		return errors.Is(err, nats.ErrNoResponders)
	})
	s.output(submitted, raw)
	if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.OK {
		t.Error(code)
	}
	<-stopped
}

func TestNobodyIsAnsweredOnSubjectsOfTheStack(t *testing.T) {
	s, _ := serving(t)
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Wait)
	defer cancel()
	for _, reply := range []string{"$KV.clockwork_state.stage", "clockwork.scheduler.submit", ""} {
		for _, subject := range []string{"clockwork.infer.nobody"} {
			if err := s.client.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: []byte(`{}`)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Answered after those.
	s.ask("clockwork.infer.nobody", `{}`)
	if stage, _, _, err := s.state.Stage(ctx); err != nil || stage != protocol.Active {
		t.Errorf("the stage in the store: %v, %v", stage, err)
	}
	if len(s.submit) != 0 {
		t.Error("the door answered on the scheduler's subject")
	}
}

// TestCodeSchedulerLost: the request is with a scheduler that goes away, and no
// other comes before its deadline.
func TestCodeSchedulerLost(t *testing.T) {
	s, scheduler := serving(t)
	replies := s.infer("a", `{"parameters":{"slo_ms":1500},"inputs":[]}`)
	bustest.Next(t, "the submission", s.submit)
	scheduler.set(protocol.Standby, 0)
	bustest.Until(t, "the scheduler is lost", func() bool { return !s.door.serving() })
	if len(replies) != 0 {
		t.Fatal("it was answered while its deadline lay ahead")
	}
	if code := codeOf(t, bustest.Next(t, "the reply", replies)); code != protocol.SchedulerLost {
		t.Error(code)
	}
}
