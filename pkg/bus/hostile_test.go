package bus

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
)

// bombs are small messages that ask for much.
func bombs() [][]byte {
	return [][]byte{
		{0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdf, 0xff, 0xff, 0xff, 0xff}, {0xc6, 0xff, 0xff, 0xff, 0xff}, {0xc9, 0xff, 0xff, 0xff, 0xff, 1},
		{0xdb, 0x7f, 0xff, 0xff, 0xff}, {0xc1}, {}, {0x80}, {0x81, 0xa6, 'i', 'n', 'p', 'u', 't', 's', 0xdd, 0xff, 0xff, 0xff, 0xff},
		bytes.Repeat([]byte{0x91}, 100_000), bytes.Repeat([]byte{0x81}, 100_000), append([]byte{0xdd, 0, 1, 0, 1}, make([]byte, 65537)...),
		[]byte(`{"inputs":` + strings.Repeat("[", 100_000)), []byte(strings.Repeat(`{"a":`, 100_000)), []byte(`{"inputs":[{"data":[1e999]}]}`),
		[]byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[` + strings.Repeat("9", 5000) + `]}]}`),
	}
}

func FuzzPrescan(f *testing.F) {
	for _, b := range bombs() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		end, fault := prescan(body, maxClientElements)
		if fault != nil {
			return
		}
		if end < 1 || end > len(body) {
			t.Fatalf("%d of %d bytes", end, len(body))
		}
		// What passes, the library reads to the same place.
		in := bytes.NewReader(body)
		if err := msgpack.NewDecoder(in).Skip(); err == nil && len(body)-in.Len() != end {
			t.Fatalf("ends at %d, the library says %d", end, len(body)-in.Len())
		}
	})
}

func FuzzClientMessages(f *testing.F) {
	for _, b := range bombs() {
		f.Add(b)
	}
	f.Add([]byte(`{"id":"a","parameters":{"slo_ms":5},"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true,null]}]}`))
	f.Add(EncodeInfer(&protocol.InferRequest{ID: "a", Inputs: []protocol.Tensor{{Name: "x", Datatype: protocol.FP16, Shape: []int64{1}, Data: []byte{1, 2}}}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, fault := DecodeInfer(body)
		if fault == nil {
			for _, tensor := range in.Inputs {
				if len(tensor.Data) > 8*len(body) {
					t.Fatalf("%d bytes out of %d", len(tensor.Data), len(body))
				}
			}
		}
		var load protocol.LoadRequest
		_ = DecodeBody(body, &load)
		_ = DecodeError(body)
		_, _ = DecodeResponse(body)
	})
}

// FuzzInternalMessages: whatever a decoder accepts, it can encode again and
// tell on as JSON.
func FuzzInternalMessages(f *testing.F) {
	for _, b := range bombs() {
		f.Add(append([]byte{version}, b...))
	}
	f.Add(Actions.Encode(&[]protocol.Action{{Load: &protocol.LoadSpec{Names: []string{"a"}}}}))
	f.Add(Results.Encode(&ResultBatch{Results: []protocol.Result{{State: &protocol.WorkerState{GPUs: make([]protocol.GPUState, 2)}}}}))
	f.Add(Submissions.Encode(&SubmissionBatch{Requests: make([]Submitted, 2)}))
	f.Add(Dispatches.Encode(&[]protocol.Dispatch{{Refusal: &protocol.Error{EarliestMS: 1}}}))
	f.Add(Inputs.Encode(&[]protocol.Input{{Data: []byte{1}}, {Data: []byte{2, 3}}}))
	f.Add(Outputs.Encode(&[]protocol.Output{{Data: []byte{1}}}))
	f.Add(Heartbeat.Encode(&protocol.Heartbeat{State: "x"}))
	f.Add(Start.Encode(&protocol.ClockworkState{Models: make([]protocol.ModelSpec, 1)}))
	f.Add(Job.Encode(&ProfileJob{}))
	f.Add(Report.Encode(&ProfileReport{Failures: make([]ProfileFailure, 1)}))
	f.Add(Clock.Encode(&ClockReading{}))
	f.Add(parts.Encode(&part{1, 0, 1, []byte{1}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		again(t, Actions, body)
		again(t, Results, body)
		again(t, Submissions, body)
		again(t, Dispatches, body)
		again(t, Inputs, body)
		again(t, Outputs, body)
		again(t, Heartbeat, body)
		again(t, Join, body)
		again(t, Start, body)
		again(t, Clock, body)
		again(t, Job, body)
		again(t, Report, body)
		again(t, parts, body)
		if list, fault := Dispatches.Decode(body); fault == nil {
			for _, d := range list {
				if d.Refusal != nil {
					ErrorReply(JSON, "inbox", d.Refusal)
				}
			}
		}
		_, _, _ = NewParcels(Start).Add(body)
	})
}

func again[T any](t *testing.T, c Codec[T], body []byte) {
	v, fault := c.Decode(body)
	if fault != nil {
		return
	}
	if _, fault := c.Decode(c.Encode(&v)); fault != nil {
		t.Fatalf("%s: accepted once, then %v", c.name, fault)
	}
}

func TestAListGrowsOnlyWithWhatIsThere(t *testing.T) {
	body := append([]byte{version, 0x94, 1, 0xdd, 0, 0x40, 0, 0}, bytes.Repeat([]byte{0xc0}, 1<<22)...)
	body = append(body, 0x90, 0x90)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, fault := Start.Decode(body); fault == nil {
		t.Error("four million nils are accepted as models")
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d bytes were allocated for nothing", grown)
	}
}

func TestNumbersThatJSONCannotCarryAreRefused(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		body := Dispatches.Encode(&[]protocol.Dispatch{{Refusal: &protocol.Error{EarliestMS: f}}})
		if _, fault := Dispatches.Decode(body); fault == nil {
			t.Errorf("%v is accepted", f)
		}
	}
}

func TestOfAKeyThatStandsTwiceTheLastCounts(t *testing.T) {
	first := `[{"name":"old","shape":[9,9],"datatype":"FP64","data":[1]},{"name":"second","datatype":"INT8","data":[]}]`
	body := `{"id":"a","id":"b","inputs":` + first + `,"inputs":[{"shape":[1],"datatype":"UINT8","data":[1],"data":[7]}]}`
	twice := []byte{0x82}
	for _, n := range []string{"x", "y"} {
		one, err := msgpack.Marshal(map[string]any{"inputs": []any{map[string]any{"name": n, "datatype": "UINT8", "data": []byte{7}}}})
		if err != nil {
			t.Fatal(err)
		}
		twice = append(twice, one[1:]...)
	}
	for name, body := range map[string][]byte{"JSON": []byte(body), "msgpack": twice} {
		in, fault := DecodeInfer(body)
		if fault != nil || len(in.Inputs) != 1 || in.Inputs[0].Name == "old" || !slices.Equal(in.Inputs[0].Data, []byte{7}) {
			t.Errorf("%s: %+v, %v", name, in, fault)
		}
	}
}

func TestNullIsNaNAmongFloatsAndNothingElse(t *testing.T) {
	data, err := numbersFromJSON(protocol.FP64, []byte(`[ null , 1 ]`))
	if err != nil || len(data) != 16 || !slices.Equal(data[8:], []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}) {
		t.Errorf("%v, %v", data, err)
	}
	for _, kind := range []protocol.DataType{protocol.Int8, protocol.Uint64, protocol.Bool} {
		if _, err := numbersFromJSON(kind, []byte(`[null]`)); err == nil {
			t.Errorf("null is a %s", kind)
		}
	}
	if data, err := numbersFromJSON(protocol.FP32, []byte(`[ ]`)); err != nil || len(data) != 0 {
		t.Errorf("no numbers: %v, %v", data, err)
	}
}

func TestErrorRepliesAreShort(t *testing.T) {
	e := protocol.Errorf(protocol.InvalidInput, "%s", strings.Repeat("ü", 1<<20))
	m := ErrorReply(JSON, "inbox", e)
	if m.Size() > 10*maxMessage {
		t.Errorf("%d bytes", m.Size())
	}
	if len(e.Message) != 2<<20 {
		t.Error("the error itself was cut")
	}
}

func TestLargeMessagesTravelInParts(t *testing.T) {
	b := open(t)
	type got struct {
		state protocol.ClockworkState
		fault *protocol.Error
	}
	whole := make(chan got, 10)
	parcels := NewParcels(Start)
	sub, err := b.Subscribe(b.Control, "large", func(m *nats.Msg) {
		if v, done, fault := parcels.Add(m.Data); done || fault != nil {
			whole <- got{v, fault}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	large := protocol.ClockworkState{}
	for i := range 200_000 {
		large.Models = append(large.Models, protocol.ModelSpec{Name: fmt.Sprintf("%064d", i)})
	}
	body := Start.Encode(&large)
	if len(body) <= MaxPayload {
		t.Fatalf("%d bytes prove nothing", len(body))
	}
	for _, state := range []protocol.ClockworkState{large, {PageSize: 5}} {
		if err := b.SendParcel(b.Control, "large", Start.Encode(&state)); err != nil {
			t.Fatal(err)
		}
		g := receive(t, whole)
		if g.fault != nil || len(g.state.Models) != len(state.Models) || g.state.PageSize != state.PageSize {
			t.Errorf("%d models, %v", len(g.state.Models), g.fault)
		}
	}
}

func TestPartsOfTwoParcelsAreNotMixed(t *testing.T) {
	body := Start.Encode(&protocol.ClockworkState{PageSize: 7})
	p := NewParcels(Start)
	add := func(id uint64, index, count int, data []byte) bool {
		_, whole, fault := p.Add(parts.Encode(&part{id, index, count, data}))
		if fault != nil {
			t.Fatal(fault)
		}
		return whole
	}
	if add(1, 0, 2, body[:2]) || add(2, 0, 2, body[:2]) || add(1, 1, 2, body[2:]) {
		t.Error("whole before its end")
	}
	if !add(2, 1, 2, body[2:]) {
		t.Error("the second one was not whole")
	}
	if add(3, 1, 2, body[2:]) {
		t.Error("whole without its beginning")
	}
	for _, bad := range []part{{1, 0, 0, nil}, {1, -1, 1, nil}, {1, 1, 1, nil}, {1, 0, maxParts + 1, nil}} {
		if _, _, fault := p.Add(parts.Encode(&bad)); fault == nil {
			t.Errorf("part %d of %d is accepted", bad.index, bad.count)
		}
	}
}
