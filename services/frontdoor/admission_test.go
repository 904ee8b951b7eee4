package frontdoor

import (
	core "clockwork/pkg/core/frontdoor"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
)

// pair is a model of two inputs, of which one has no dimension but the batch, in
// batches of up to 4.
var pair = protocol.ModelSpec{
	Name: "pair",
	Inputs: []protocol.TensorSpec{
		{Name: "x", Datatype: protocol.FP32, Shape: []int64{2}},
		{Name: "y", Datatype: protocol.Int8, Shape: nil},
	},
	BatchSizes: []int{1, 2, 4},
}

// asking is a request for pair as it is when nothing is wrong with it; tests change
// one thing.
type asking struct {
	header, slo, priority, id any
	inputs                    []any
}

type tensor map[string]any

func goodX() tensor {
	return tensor{"name": "x", "datatype": "FP32", "shape": []any{2, 2}, "data": make([]byte, 16)}
}

func goodY() tensor {
	return tensor{"name": "y", "datatype": "INT8", "shape": []any{2}, "data": []byte{1, 2}}
}

// with is a tensor with another value of one key; nil takes the key away.
func (t tensor) with(key string, value any) tensor {
	if t[key] = value; value == nil {
		delete(t, key)
	}
	return t
}

// message is the request in msgpack, which carries what JSON cannot.
func (a asking) message(t *testing.T) *nats.Msg {
	t.Helper()
	parameters := map[string]any{}
	if a.slo != nil {
		parameters["slo_ms"] = a.slo
	}
	if a.priority != nil {
		parameters["priority"] = a.priority
	}
	body := map[string]any{"parameters": parameters, "inputs": a.inputs}
	if a.id != nil {
		body["id"] = a.id
	}
	data, err := msgpack.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{Header: nats.Header{}, Data: data}
	if a.header != nil {
		m.Header.Set(protocol.TimeoutHeader, a.header.(string))
	}
	return m
}

func x(t tensor) asking { return asking{inputs: []any{t, goodY()}} }

func slo(ms any) asking { return asking{slo: ms, inputs: []any{goodX(), goodY()}} }

func header(text string) asking {
	return asking{header: text, inputs: []any{goodX(), goodY()}}
}

func id(v any) asking { return asking{id: v, inputs: []any{goodX(), goodY()}} }

func priority(v any) asking { return asking{priority: v, inputs: []any{goodX(), goodY()}} }

func inputs(list ...any) asking { return asking{inputs: list} }

// read is what a front door does with a message for model pair once it was admitted.
func read(m *nats.Msg, into *core.Decoded) *protocol.Error {
	ingress := &natsIngress{door: &FrontDoor{config: DefaultConfig()}}
	return (&natsExchange{ingress: ingress, header: m.Header, body: m.Data}).Read(&pair, true, into)
}

// TestWhatAFrontDoorTakes is the whole of what is checked of a request before
// anything else sees it.
func TestWhatAFrontDoorTakes(t *testing.T) {
	const ok = protocol.OK
	for _, c := range []struct {
		what string
		asking
		want protocol.Code
	}{
		{"all as it should be", inputs(goodX(), goodY()), ok},
		{"in another order", inputs(goodY(), goodX()), ok},
		{"no inputs: one is generated", inputs(), ok},

		// Inputs by name: each once.
		{"one is missing", inputs(goodX()), protocol.InvalidInput},
		{"one too many", inputs(goodX(), goodY(), goodY().with("name", "z")), protocol.InvalidInput},
		{"one twice, the other missing", inputs(goodX(), goodX()), protocol.InvalidInput},
		{"one twice", inputs(goodX(), goodY(), goodX()), protocol.InvalidInput},
		{"another name", x(goodX().with("name", "X")), protocol.InvalidInput},
		{"no name", x(goodX().with("name", nil)), protocol.InvalidInput},
		{"a name that is a number", x(goodX().with("name", 7)), protocol.BadMessage},
		{"an input that is no object", inputs(goodX(), "y"), protocol.BadMessage},

		// Datatype: the model's, as it is written.
		{"another type of the same size", x(goodX().with("datatype", "INT32")), protocol.InvalidInput},
		{"small letters", x(goodX().with("datatype", "fp32")), protocol.InvalidInput},
		{"an unknown type", x(goodX().with("datatype", "BYTES")), protocol.InvalidInput},
		{"no type", x(goodX().with("datatype", nil)), protocol.InvalidInput},

		// Shape: the batch, then the item's.
		{"another item", x(goodX().with("shape", []any{2, 3})), protocol.InvalidInput},
		{"no batch", x(goodX().with("shape", []any{2})), protocol.InvalidInput},
		{"a dimension too many", x(goodX().with("shape", []any{2, 2, 1})), protocol.InvalidInput},
		{"no shape", x(goodX().with("shape", nil)), protocol.InvalidInput},
		{"an empty shape", x(goodX().with("shape", []any{})), protocol.InvalidInput},
		{"a batch of 0", x(goodX().with("shape", []any{0, 2}).with("data", []byte{})), protocol.InvalidInput},
		{"a negative batch", x(goodX().with("shape", []any{-2, 2})), protocol.InvalidInput},
		{"a negative item", x(goodX().with("shape", []any{2, -2})), protocol.InvalidInput},
		{"-2^63", x(goodX().with("shape", []any{int64(math.MinInt64), 2})), protocol.InvalidInput},
		{"2^63 as an unsigned number", x(goodX().with("shape", []any{uint64(1 << 63), 2})), protocol.BadMessage},
		{"a product that leaves 64 bits", x(goodX().with("shape", []any{int64(1) << 62, 2})), protocol.BatchTooLarge},
		{"a product that is 0 in 64 bits", x(goodX().with("shape", []any{int64(1) << 32, int64(1) << 32})), protocol.InvalidInput},
		{"whole numbers as floats", x(goodX().with("shape", []any{2.0, 2.0})), ok},
		{"a broken number", x(goodX().with("shape", []any{2.5, 2})), protocol.BadMessage},
		{"NaN", x(goodX().with("shape", []any{math.NaN(), 2})), protocol.BadMessage},
		{"a word", x(goodX().with("shape", []any{"2", 2})), protocol.BadMessage},

		// Batch: all inputs the same, up to the model's largest.
		{"the largest", inputs(goodX().with("shape", []any{4, 2}).with("data", make([]byte, 32)), goodY().with("shape", []any{4}).with("data", make([]byte, 4))), ok},
		{"one more than the largest", inputs(goodX().with("shape", []any{5, 2}).with("data", make([]byte, 40)), goodY().with("shape", []any{5}).with("data", make([]byte, 5))), protocol.BatchTooLarge},
		{"not a size that is compiled: it is padded", inputs(goodX().with("shape", []any{3, 2}).with("data", make([]byte, 24)), goodY().with("shape", []any{3}).with("data", make([]byte, 3))), ok},
		{"inputs that disagree", inputs(goodX(), goodY().with("shape", []any{1}).with("data", []byte{1})), protocol.InvalidInput},

		// Size: what the shape says.
		{"a byte too few", x(goodX().with("data", make([]byte, 15))), protocol.InvalidInput},
		{"a byte too many", x(goodX().with("data", make([]byte, 17))), protocol.InvalidInput},
		{"no data", x(goodX().with("data", nil)), protocol.InvalidInput},
		{"numbers in place of bytes", x(goodX().with("data", []any{1, 2.5, -3, 4})), ok},
		{"too few numbers", x(goodX().with("data", []any{1, 2, 3})), protocol.InvalidInput},
		{"words in place of numbers", x(goodX().with("data", []any{"1", "2", "3", "4"})), protocol.InvalidInput},
		{"a number that its type does not hold", inputs(goodX(), goodY().with("data", []any{1, 128})), protocol.InvalidInput},
		{"a text in place of bytes", x(goodX().with("data", strings.Repeat("x", 16))), protocol.InvalidInput},
		{"NaN among the data: the model's affair", x(goodX().with("data", []any{math.NaN(), math.Inf(1), 0, 0})), ok},

		// Deadline: positive, at most an hour.
		{"in milliseconds", slo(2.5), ok},
		{"a whole number of them", slo(75), ok},
		{"an hour", slo(3_600_000), ok},
		{"a millisecond more", slo(3_600_001), protocol.InvalidDeadline},
		{"none", slo(0), protocol.InvalidDeadline},
		{"less than none", slo(-1), protocol.InvalidDeadline},
		{"less than a nanosecond", slo(1e-9), protocol.InvalidDeadline},
		{"NaN ms", slo(math.NaN()), protocol.InvalidDeadline},
		{"infinite", slo(math.Inf(1)), protocol.InvalidDeadline},
		{"2^63 ms", slo(uint64(1 << 63)), protocol.InvalidDeadline},
		{"a word for a time", slo("75ms"), protocol.BadMessage},
		{"as a header", header("75ms"), ok},
		{"a header without a unit", header("75"), protocol.InvalidDeadline},
		{"a header that is negative", header("-75ms"), protocol.InvalidDeadline},
		{"a header of zero", header("0s"), protocol.InvalidDeadline},
		{"a header of more than an hour", header("1h1ns"), protocol.InvalidDeadline},
		{"a header that leaves 64 bits", header("9999999999h"), protocol.InvalidDeadline},
		{"a header of garbage", header("\x00\xff soon"), protocol.InvalidDeadline},
		{"a good header wins over a bad body", asking{header: "75ms", slo: -1, inputs: []any{goodX(), goodY()}}, ok},
		{"a bad header over a good body", asking{header: "x", slo: 75, inputs: []any{goodX(), goodY()}}, protocol.InvalidDeadline},

		// Priority: a whole number of 64 bits, without effect.
		{"a priority", priority(7), ok},
		{"a negative one", priority(-7), ok},
		{"the least", priority(int64(math.MinInt64)), ok},
		{"one of 2^63", priority(uint64(1 << 63)), protocol.BadMessage},
		{"one that is no number", priority("high"), protocol.BadMessage},
		{"one and a half", priority(1.5), protocol.BadMessage},

		// Id: told back, and no longer than a name.
		{"an id of 64 bytes", id(strings.Repeat("x", 64)), ok},
		{"one of 65", id(strings.Repeat("x", 65)), protocol.BadMessage},
		{"one of a MiB", id(strings.Repeat("x", 1<<20)), protocol.BadMessage},
		{"one of any bytes", id("\x00\n\x1b[2J\xff\"}"), ok},
		{"one that is a number", id(7), protocol.BadMessage},
	} {
		var r core.Decoded
		fault := read(c.message(t), &r)
		code := ok
		if fault != nil {
			code = fault.Code
		}
		if code != c.want {
			t.Errorf("%s: %s, want %s (%v)", c.what, code, c.want, fault)
			continue
		}
		if fault == nil && !r.Generated && int64(len(r.Payload)) != int64(r.Batch)*pair.ItemBytes() {
			t.Errorf("%s: taken with %d bytes for %d items", c.what, len(r.Payload), r.Batch)
		}
	}
}

// TestAnIdIsToldBackAsItCame, whatever bytes it has.
func TestAnIdIsToldBackAsItCame(t *testing.T) {
	for _, want := range []string{"", "7", "\x00\n\x1b[2J\xff\"}", strings.Repeat("ä", 32)} {
		var r core.Decoded
		if fault := read(id(want).message(t), &r); fault != nil || r.ClientID != want {
			t.Errorf("%q: %+v, %v", want, r, fault)
		}
	}
}

// TestARefusalSaysWhatWasExpected, and what came.
func TestARefusalSaysWhatWasExpected(t *testing.T) {
	for what, c := range map[string]struct {
		asking
		want string
	}{
		"shape":    {x(goodX().with("shape", []any{2, 3})), `input "x": expected shape [N,2], got [2,3]`},
		"datatype": {x(goodX().with("datatype", "fp32")), `input "x": expected datatype FP32, got "fp32"`},
		"name":     {x(goodX().with("name", "z")), `expected an input named "x"`},
		"id":       {id(strings.Repeat("x", 65)), `the id has 65 bytes, at most 64 are kept`},
		"deadline": {slo(-1), fmt.Sprintf(`slo_ms is -1; it must be positive and at most %d`, protocol.MaxSLO/time.Millisecond)},
	} {
		var r core.Decoded
		fault := read(c.message(t), &r)
		if fault == nil || fault.Message != c.want {
			t.Errorf("%s: %v, want %s", what, fault, c.want)
		}
	}
}
