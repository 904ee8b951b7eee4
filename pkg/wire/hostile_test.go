package wire

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

// bombs are the bodies of hostile, and some more.
func bombs() (bodies [][]byte) {
	for _, b := range append(hostile.Msgpack(), hostile.JSON()...) {
		bodies = append(bodies, b.Body)
	}
	return append(bodies, nil, []byte{0x80}, []byte(`{"inputs":[{"data":[1e999]}]}`),
		[]byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[`+strings.Repeat("9", 5000)+`]}]}`))
}

func TestAListGrowsOnlyWithWhatIsThere(t *testing.T) {
	body := append([]byte{Version, 0x94, 1, 0xdd, 0, 0x40, 0, 0}, bytes.Repeat([]byte{0xc0}, 1<<22)...)
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
	data, err := nestedFromJSON(protocol.FP64, nil, []byte(`[ null , 1 ]`))
	if err != nil || len(data) != 16 || !slices.Equal(data[8:], []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}) {
		t.Errorf("%v, %v", data, err)
	}
	for _, kind := range []protocol.DataType{protocol.Int8, protocol.Uint64, protocol.Bool} {
		if _, err := nestedFromJSON(kind, nil, []byte(`[null]`)); err == nil {
			t.Errorf("null is a %s", kind)
		}
	}
	if data, err := nestedFromJSON(protocol.FP32, nil, []byte(`[ ]`)); err != nil || len(data) != 0 {
		t.Errorf("no numbers: %v, %v", data, err)
	}
}

func TestErrorRepliesAreShort(t *testing.T) {
	refusal := protocol.Errorf(protocol.InvalidInput, "%s", strings.Repeat("ü", 1<<20))
	body, _ := EncodeError(protocol.JSON, refusal)
	if len(body) > 10*protocol.MaxText {
		t.Errorf("%d bytes", len(body))
	}
	if len(refusal.Message) != 2<<20 {
		t.Error("the error itself was cut")
	}
}

func TestPartsOfTwoParcelsAreNotMixed(t *testing.T) {
	body := Start.Encode(&protocol.ClockworkState{PageSize: 7})
	p := NewChunks(Start)
	add := func(id uint64, index, count int, data []byte) bool {
		_, whole, fault := p.Add(chunkCodec.Encode(&chunk{id: id, index: index, count: count, data: data}))
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
	for _, bad := range []chunk{{id: 1}, {id: 1, index: -1, count: 1}, {id: 1, index: 1, count: 1}, {id: 1, count: maxChunks + 1}} {
		if _, _, fault := p.Add(chunkCodec.Encode(&bad)); fault == nil {
			t.Errorf("part %d of %d is accepted", bad.index, bad.count)
		}
	}
}
