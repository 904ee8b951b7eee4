package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
)

func TestPrescanRefusesWhatKillsTheDecoder(t *testing.T) {
	nested := append(bytes.Repeat([]byte{0x91}, 1<<20), 0xc0)
	many := append([]byte{0xdd, 0, 1, 0, 1}, make([]byte, 65537)...)
	for name, body := range map[string][]byte{
		"an array of 2^32 declared in five bytes": {0xdd, 0xff, 0xff, 0xff, 0xff},
		"a map of 2^32":                      {0xdf, 0xff, 0xff, 0xff, 0xff},
		"a string longer than the message":   {0xdb, 0x7f, 0xff, 0xff, 0xff},
		"a million arrays inside each other": nested,
		"too many elements":                  many,
		"a byte that means nothing":          {0xc1},
		"nothing":                            {},
		"half a number":                      {0xcb, 1, 2},
		"two values":                         {0xc0, 0xc0},
	} {
		if fault := scanWhole(body); fault == nil || fault.Code != protocol.BadMessage {
			t.Errorf("%s: %v, want BAD_MESSAGE", name, fault)
		}
		if len(body) > 0 {
			if _, fault := DecodeInfer(body); fault == nil {
				t.Errorf("%s: decoded as a request", name)
			}
		}
	}
}

func TestPrescanAgreesWithTheEncoder(t *testing.T) {
	body, err := msgpack.Marshal(map[string]any{
		"a": []any{1, -1, 200, 70000, int64(1) << 40, 1.5, float32(2), true, nil, "s"},
		"b": strings.Repeat("x", 300), "c": make([]byte, 70000), "t": time.Unix(1, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	if fault := scanWhole(body); fault != nil {
		t.Errorf("a good message is refused: %v", fault)
	}
}

func float32s(values ...float32) []byte {
	var out []byte
	for _, v := range values {
		out, _ = appendFloat(out, protocol.FP32, float64(v)) // in range
	}
	return out
}

func TestRequestMeansTheSameInEveryForm(t *testing.T) {
	slo := 75.0
	want := protocol.InferRequest{
		ID:         "r1",
		Parameters: protocol.InferParameters{SLOMS: &slo, Priority: 2},
		Inputs:     []protocol.Tensor{{Name: "x", Datatype: protocol.FP32, Shape: []int64{1, 2}, Data: float32s(1, -2.5)}},
	}
	asArray, err := msgpack.Marshal(map[string]any{
		"id": "r1", "parameters": map[string]any{"slo_ms": 75, "priority": 2, "other": []int{1}},
		"inputs": []any{map[string]any{"name": "x", "shape": []int{1, 2}, "datatype": "FP32", "data": []float64{1, -2.5}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{
		"JSON":               []byte(`{"id":"r1","parameters":{"slo_ms":75,"priority":2,"other":{}},"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,-2.5]}]}`),
		"msgpack, raw bytes": EncodeInfer(&want),
		"msgpack, numbers":   asArray,
	} {
		got, fault := DecodeInfer(body)
		if fault != nil {
			t.Errorf("%s: %v", name, fault)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDataThatIsNotOfItsDatatypeIsInvalidInput(t *testing.T) {
	for name, c := range map[string]struct{ datatype, data string }{
		"words":        {"FP32", `["a"]`},
		"nested":       {"FP32", `[[1]]`},
		"no such type": {"FLOAT", `[1]`},
		"too large":    {"UINT8", `[256]`},
		"negative":     {"UINT16", `[-1]`},
		"a fraction":   {"INT32", `[1.5]`},
		"missing":      {"INT8", ``},
	} {
		data := ""
		if c.data != "" {
			data = `,"data":` + c.data
		}
		body := `{"inputs":[{"name":"x","shape":[1],"datatype":"` + c.datatype + `"` + data + `}]}`
		if _, fault := DecodeInfer([]byte(body)); fault == nil || fault.Code != protocol.InvalidInput {
			t.Errorf("%s: %v, want INVALID_INPUT", name, fault)
		}
	}
	for _, broken := range []string{`{`, `{"inputs":1}`, `{"inputs":[{"shape":"x"}]}`, `{"parameters":{"slo_ms":"soon"}}`,
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`} {
		if _, fault := DecodeInfer([]byte(broken)); fault == nil || fault.Code != protocol.BadMessage {
			t.Errorf("%s: %v, want BAD_MESSAGE", broken, fault)
		}
	}
}

// Some languages write every number as a float.
func TestAWholeNumberIsAnIntegerHoweverItIsWritten(t *testing.T) {
	for _, row := range []struct {
		text string
		want int64 // -1 for a refusal
	}{
		{"1", 1}, {"1.0", 1}, {"1.000", 1}, {"10e-1", 1}, {"0.1e1", 1}, {"1e0", 1}, {"3E2", 300}, {"9007199254740993.0", 1<<53 + 1},
		{"1.5", -1}, {"1e-1", -1}, {"1e400", -1}, {"1e30", -1}, {"9223372036854775808.0", -1}, {`"1.0"`, -1}, {"true", -1},
	} {
		body := fmt.Sprintf(`{"id":"a 1.0","parameters":{"slo_ms":1.50,"priority":%s},"inputs":[{"name":"1e3","datatype":"INT64","shape":[%[1]s],"data":[1.0]}]}`, row.text)
		r, fault := DecodeInfer([]byte(body))
		if refused := fault != nil; refused != (row.want < 0) {
			t.Errorf("%s: %v", row.text, fault)
		} else if !refused && (int64(r.Parameters.Priority) != row.want || r.Inputs[0].Shape[0] != row.want || *r.Parameters.SLOMS != 1.5 || r.ID != "a 1.0" || r.Inputs[0].Name != "1e3") {
			t.Errorf("%s: %+v", row.text, r)
		}
		var load protocol.LoadRequest
		fault = DecodeBody([]byte(fmt.Sprintf(`{"path":"a/1.0\"2.0","copies":%s}`, row.text)), &load)
		if refused := fault != nil; refused != (row.want < 0) || !refused && (int64(*load.Copies) != row.want || load.Path != `a/1.0"2.0`) {
			t.Errorf("a load of %s: %v, %+v", row.text, fault, load)
		}
		var page protocol.PageRequest
		fault = DecodeBody([]byte(fmt.Sprintf(`{"limit":%s}`, row.text)), &page)
		if refused := fault != nil; refused != (row.want < 0) || !refused && int64(page.Limit) != row.want {
			t.Errorf("a page of %s: %v, %+v", row.text, fault, page)
		}
	}
}

// No message of the library names our types, or says less than what to send instead.
func TestWhatIsWrongWithARequestIsASentence(t *testing.T) {
	for body, want := range map[string]string{
		``:                                `expected a JSON object, {...}, or a map in msgpack; got an empty message`,
		" \n":                             `expected a JSON object, {...}, or a map in msgpack; got white space`,
		`{"parameters":{"slo_ms":1e400}}`: `decode JSON: "parameters.slo_ms" is 1e400; expected a number of at most 1.8e+308`,
		`{"parameters":{"slo_ms":"1"}}`:   `decode JSON: "parameters.slo_ms" is a string; expected a number`,
		`{"parameters":{"priority":1.5}}`: `decode JSON: "parameters.priority" is 1.5; expected a whole number in range`,
		`{"inputs":[{"shape":[1.5]}]}`:    `decode JSON: "shape" is 1.5; expected a whole number in range`,
		`{"inputs":[{"shape":true}]}`:     `decode JSON: "shape" is true or false; expected an array`,
	} {
		if _, fault := DecodeInfer([]byte(body)); fault == nil || fault.Message != want {
			t.Errorf("%q: %v, want %s", body, fault, want)
		}
	}
}

func TestResponseMeansTheSameInEveryForm(t *testing.T) {
	want := &protocol.InferResponse{
		ModelName:  "m",
		ID:         "r1",
		Parameters: protocol.ResponseParameters{LatencyUS: 5, BatchSize: 2, ColdStart: true, BufferedMS: 1.5},
		Outputs:    []protocol.Tensor{{Name: "y", Datatype: protocol.FP32, Shape: []int64{1, 2}, Data: float32s(0.1, 3e30)}},
	}
	for _, encoding := range []protocol.Encoding{protocol.JSON, protocol.Msgpack} {
		got, fault := DecodeResponse(EncodeResponse(encoding, want))
		if fault != nil {
			t.Fatal(fault)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("encoding %d (-want +got):\n%s", encoding, diff)
		}
	}
}

func errorBytes(encoding protocol.Encoding, refusal *protocol.Error) []byte {
	body, _ := EncodeError(encoding, refusal)
	return body
}

func TestErrorsAreSeenInEveryForm(t *testing.T) {
	refusal := protocol.Errorf(protocol.UnknownModel, "no model is called %q", "x")
	for _, encoding := range []protocol.Encoding{protocol.JSON, protocol.Msgpack} {
		if _, fault := DecodeResponse(errorBytes(encoding, refusal)); fault == nil || fault.Code != protocol.UnknownModel || fault.Message != refusal.Message {
			t.Errorf("encoding %d: got %v", encoding, fault)
		}
	}
}

func TestStateMeansTheSameInEveryForm(t *testing.T) {
	want := protocol.StackState{
		Stage:  protocol.Profiling,
		Since:  time.Unix(1700000000, 0).UTC(),
		Models: []protocol.ModelState{{ModelSpec: protocol.ModelSpec{Name: "m", BatchSizes: []int{1}}, Quarantined: "no"}},
	}
	for _, encoding := range []protocol.Encoding{protocol.JSON, protocol.Msgpack} {
		var got protocol.StackState
		if fault := DecodeBody(EncodeBody(encoding, want), &got); fault != nil {
			t.Fatalf("encoding %d: %v", encoding, fault)
		}
		got.Since = got.Since.UTC()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("encoding %d (-want +got):\n%s", encoding, diff)
		}
	}
}

func TestJSONHasNoNaN(t *testing.T) {
	data := float32s(float32(math.NaN()), float32(math.Inf(1)), 0.1)
	if got := string(numbersToJSON(protocol.FP32, data)); got != "[null,null,0.1]" {
		t.Errorf("got %s", got)
	}
	if !json.Valid(numbersToJSON(protocol.FP32, data)) {
		t.Error("not JSON")
	}
}

func TestHalfPrecisionSurvivesARoundTrip(t *testing.T) {
	for h := 0; h <= math.MaxUint16; h++ {
		f := halfToFloat(uint16(h))
		if f != f { // every NaN is a NaN
			continue
		}
		if back := floatToHalf(f); back != uint16(h) {
			t.Fatalf("%#04x is %g, which became %#04x", h, f, back)
		}
	}
	if got := halfToFloat(0x3c00); got != 1 {
		t.Errorf("0x3c00 is %g, want 1", got)
	}
	if got := floatToHalf(65520); got != 0x7c00 {
		t.Errorf("65520 became %#04x, want infinity", got)
	}
}

// TestAReplyMayNameEveryModelOfALargeStack: as many as the broker carries.
func TestAReplyMayNameEveryModelOfALargeStack(t *testing.T) {
	timed := protocol.Profile{Digest: strings.Repeat("d", 64), Backend: "emulated", BackendVersion: "1", GPUType: "v100",
		LoadWeights: protocol.Measurement{Samples: 10, Min: 8_400_000, P50: 8_400_000, P99: 8_500_000, Max: 8_500_000}}
	for _, size := range protocol.BatchSizes {
		timed.Infer = append(timed.Infer, protocol.BatchMeasurement{Batch: size, Measurement: timed.LoadWeights})
	}
	spec := protocol.ModelSpec{Path: "zoo/resnet50_v2", Digest: timed.Digest, BatchSizes: protocol.BatchSizes,
		Inputs:  []protocol.TensorSpec{{Name: "input", Datatype: protocol.FP32, Shape: []int64{3, 224, 224}}},
		Outputs: []protocol.TensorSpec{{Name: "output", Datatype: protocol.FP32, Shape: []int64{1000}}}}
	list := protocol.ModelList{Models: make([]protocol.ModelState, 6000)}
	for i := range list.Models {
		list.Models[i] = protocol.ModelState{ModelSpec: spec, Profile: []protocol.Profile{timed}}
	}
	body := EncodeBody(protocol.JSON, list)
	const carried = 8 << 20 // by our own broker, in one message
	if len(body) > carried || len(body) < carried*3/4 {
		t.Fatalf("%d bytes are not about what the broker carries", len(body))
	}
	var got protocol.ModelList
	if fault := DecodeReply(body, &got); fault != nil || len(got.Models) != len(list.Models) {
		t.Errorf("%d models were read, %v", len(got.Models), fault)
	}
	if fault := DecodeBody(body, &got); fault == nil {
		t.Error("a client may send as much")
	}
}

func TestTheNumbersOfATensorAreBoundedByTheMessageAlone(t *testing.T) {
	many := strings.Repeat("1, ", maxClientElements) + "1"
	in, fault := DecodeInfer([]byte(`{"inputs":[{"name":"x","shape":[65537],"datatype":"UINT8","data" : [` + many + `]}]}`))
	if fault != nil || len(in.Inputs) != 1 || len(in.Inputs[0].Data) != maxClientElements+1 {
		t.Errorf("a tensor of many numbers: %v", fault)
	}
	for _, elsewhere := range []string{
		`{"inputs":[{"name":"x","shape":[` + many + `],"datatype":"UINT8","data":[1]}]}`,
		`{"inputs":[{"name":"data","shape":[` + many + `]}]}`,
		`{"data":{"shape":[` + many + `]}}`,
	} {
		if _, fault := DecodeInfer([]byte(elsewhere)); fault == nil || fault.Code != protocol.BadMessage || !strings.Contains(fault.Message, "elements") {
			t.Errorf("%.60s...: %v, want BAD_MESSAGE", elsewhere, fault)
		}
	}
}
