package wire

import (
	"testing"

	"clockwork/pkg/protocol"
)

func TestAnOutcomeIsWhatTheWholeReplySays(t *testing.T) {
	parameters := protocol.ResponseParameters{
		LatencyUS: 12_345, BatchSize: 4, Worker: "w1", ColdStart: true, BufferedMS: 1.5,
		SchedulerUS: 1, QueueUS: 2, InputUS: 3, ExecUS: 70_000, OutputUS: 5,
	}
	served := protocol.InferResponse{
		ModelName: "m", ID: "7", Parameters: parameters,
		Outputs: []protocol.Tensor{{Name: "out", Datatype: protocol.FP32, Shape: []int64{1, 2}, Data: make([]byte, 8)}},
	}
	refusal := protocol.Errorf(protocol.DeadlineUnmeetable, "not in time")
	refusal.EarliestMS, refusal.BudgetMS = 2.5, 2
	for _, encoding := range []protocol.Encoding{protocol.Msgpack, protocol.JSON} {
		if p, code := DecodeOutcome(EncodeResponse(encoding, &served)); code != protocol.OK || p != parameters {
			t.Errorf("encoding %v: %s, %+v", encoding, code, p)
		}
		if p, code := DecodeOutcome(errorBytes(encoding, refusal)); code != protocol.DeadlineUnmeetable || p != (protocol.ResponseParameters{}) {
			t.Errorf("encoding %v: %s, %+v", encoding, code, p)
		}
	}
}

func TestAnOutcomeOfNoReplyIsABadMessage(t *testing.T) {
	whole := EncodeResponse(protocol.Msgpack, &protocol.InferResponse{ModelName: "m"})
	for name, body := range map[string][]byte{
		"nothing":           nil,
		"cut off":           whole[:len(whole)-1],
		"a number":          {7},
		"an empty map":      {0x80},
		"other keys":        packText(packText(packMap(nil, 1), "model_name"), "m"),
		"parameters a text": packText(packText(packMap(nil, 1), "parameters"), "m"),
		"JSON cut off":      []byte(`{"error":{`),
	} {
		if _, code := DecodeOutcome(body); code != protocol.BadMessage {
			t.Errorf("%s: %s", name, code)
		}
	}
}

func BenchmarkDecodeOutcome(b *testing.B) {
	body := EncodeResponse(protocol.Msgpack, &protocol.InferResponse{ModelName: "resnet50_v2-1", Outputs: []protocol.Tensor{{Name: "output", Data: make([]byte, 4000)}}})
	b.ReportAllocs()
	for b.Loop() {
		if _, code := DecodeOutcome(body); code != protocol.OK {
			b.Fatal(code)
		}
	}
}
