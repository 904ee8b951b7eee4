package wire

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
)

// What a person types is text, whatever it begins with, and is answered in text that says
// what was expected.
func TestTextIsReadAndAnsweredAsJSON(t *testing.T) {
	request := `{"id":"a","inputs":[]}`
	for _, before := range []string{"", " ", "\n", "\t\r\n", "\xef\xbb\xbf", "\xef\xbb\xbf \n"} {
		body := []byte(before + request)
		r, fault := DecodeInfer(body)
		if EncodingOf(body) != protocol.JSON || fault != nil || r.ID != "a" {
			t.Errorf("after %q: %v, %+v, %v", before, EncodingOf(body), r, fault)
		}
		var load protocol.LoadRequest
		if fault := DecodeBody([]byte(before+`{"path":"p"}`), &load); fault != nil || load.Path != "p" {
			t.Errorf("a load after %q: %+v, %v", before, load, fault)
		}
	}
	for body, says := range map[string]string{
		`[1,2]`:            "expected a JSON object, {...}, or a map in msgpack; got a JSON array",
		`hello`:            `got text that begins with "hello"`,
		`"id"`:             "got a JSON string",
		`null`:             "got text",
		"\n":               "got white space",
		"42":               "expected a JSON object",
		"€ 5":              "expected a JSON object",
		"\xff\xfe{\x00":    "expected a JSON object",
		"<xml/>":           "expected a JSON object",
		`{"id":1}`:         `"id" is a number; expected a string`,
		`{"inputs":{}}`:    "expected an array, got an object",
		`{"id":"a",}`:      "at byte",
		`{"parameters":1}`: "expected an object, got a number",
	} {
		_, fault := DecodeInfer([]byte(body))
		if EncodingOf([]byte(body)) != protocol.JSON || fault == nil || fault.Code != protocol.BadMessage || !strings.Contains(fault.Message, says) {
			t.Errorf("%q: %v, %v; wanted %q", body, EncodingOf([]byte(body)), fault, says)
		}
	}
	for name, body := range map[string][]byte{"an array": {0x91, 0x01}, "true": {0xc3}, "a string": {0xa1, 'a'}} {
		if _, fault := DecodeInfer(body); fault == nil || !strings.Contains(fault.Message, "expected a map in msgpack, or a JSON object") {
			t.Errorf("msgpack, %s: %v", name, fault)
		}
	}
}

// No client knows the types of this program.
func TestErrorsToClientsNameNoTypesOfGo(t *testing.T) {
	var load protocol.LoadRequest
	var question protocol.Question
	for _, body := range []string{`{"path":1}`, `{"path":{}}`, `{"copies":"x"}`, `{"copies":1.5}`, `{"copies":99999999999999999999}`, `{"ids":3}`, `{"ids":[3]}`,
		`{"id":[]}`, `{"parameters":{"slo_ms":"1"}}`, `{"parameters":{"priority":1.5}}`, `{"inputs":[{"shape":["a"]}]}`, `{"inputs":[3]}`, `{"outputs":[3]}`, `{"outputs":[{"name":3}]}`} {
		_, a := DecodeInfer([]byte(body))
		for _, fault := range []*protocol.Error{a, DecodeBody([]byte(body), &load), DecodeBody([]byte(body), &question)} {
			for _, bad := range []string{"Go ", "struct", "protocol.", "wire.", "int64", "float64", "inferJSON", "[]"} {
				if fault != nil && strings.Contains(fault.Message, bad) {
					t.Errorf("%s: %q names %q", body, fault.Message, bad)
				}
			}
		}
	}
}

func TestKeysAreExact(t *testing.T) {
	for _, request := range []map[string]any{
		{"Inputs": []any{}}, {"ID": "a"}, {"PARAMETERS": map[string]any{}}, {"Outputs": []any{}},
		{"parameters": map[string]any{"SLO_MS": 5}},
		{"inputs": []any{map[string]any{"Name": "x"}}},
		{"inputs": []any{map[string]any{"name": "x", "DATA": []int{1}}}},
		{"outputs": []any{map[string]any{"NAME": "x"}}},
	} {
		packed, err := msgpack.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range [][]byte{packed, EncodeBody(protocol.JSON, request)} {
			if _, fault := DecodeInfer(body); fault == nil || !strings.Contains(fault.Message, "in this case") {
				t.Errorf("%v in %v: %v", request, EncodingOf(body), fault)
			}
		}
	}
	var load protocol.LoadRequest
	if fault := DecodeBody([]byte(`{"Path":"p"}`), &load); fault == nil {
		t.Error("a load's Path is read as path")
	}
	// Keys of newer clients, and those of the protocol that have no meaning here, are skipped.
	if _, fault := DecodeInfer([]byte(`{"id":"a","model_version":"1","inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1],"parameters":{}}]}`)); fault != nil {
		t.Error(fault)
	}
}

func TestDataMayBeNestedLikeItsShape(t *testing.T) {
	flat := []byte{1, 2, 3, 4, 5, 6}
	for _, row := range []struct {
		shape []int64
		data  any
		says  string // "": it is read
	}{
		{[]int64{2, 3}, []any{1, 2, 3, 4, 5, 6}, ""},
		{[]int64{2, 3}, []any{[]int{1, 2, 3}, []int{4, 5, 6}}, ""},
		{[]int64{1, 2, 3}, []any{[]any{[]int{1, 2, 3}, []int{4, 5, 6}}}, ""},
		{[]int64{6}, []any{1, 2, 3, 4, 5, 6}, ""},
		{[]int64{3, 2}, []any{[]int{1, 2, 3}, []int{4, 5, 6}}, "dimension 1"},
		{[]int64{2, 3}, []any{[]int{1, 2, 3}, []int{4, 5}}, "dimension 1"},
		{[]int64{3, 3}, []any{[]int{1, 2, 3}, []int{4, 5, 6}}, "dimension 0"},
		{[]int64{6}, []any{[]int{1, 2, 3}, []int{4, 5, 6}}, "nested 2 deep"},
		{[]int64{2, 3}, []any{[]int{1, 2, 3}, 4, 5, 6}, "side by side"},
		{[]int64{2, 3}, []any{1, []int{2, 3}}, "side by side"},
		{[]int64{2, 3}, []any{[]any{1, 2, "3"}, []any{4, 5, 6}}, "element 2"},
	} {
		request := map[string]any{"inputs": []any{map[string]any{"name": "x", "datatype": "UINT8", "shape": row.shape, "data": row.data}}}
		packed, err := msgpack.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range [][]byte{packed, EncodeBody(protocol.JSON, request)} {
			r, fault := DecodeInfer(body)
			switch {
			case row.says == "" && (fault != nil || !bytes.Equal(r.Inputs[0].Data, flat)):
				t.Errorf("%v in %v: %v", row.data, EncodingOf(body), fault)
			case row.says != "" && (fault == nil || fault.Code != protocol.InvalidInput || !strings.Contains(fault.Message, row.says)):
				t.Errorf("%v of shape %v in %v: %v, wanted %q", row.data, row.shape, EncodingOf(body), fault, row.says)
			}
		}
	}
}

func TestWholeNumbersMayBeWrittenAsFractions(t *testing.T) {
	for text, want := range map[string]int64{"1.0": 1, "-2.00": -2, "1e3": 1000, "1.5e1": 15, "0.0": 0, "-0.0": 0, "9007199254740993.0": 9007199254740993, "9223372036854775807.0": math.MaxInt64} {
		out, err := appendNumber(nil, protocol.Int64, text)
		expected, _ := appendInt(nil, protocol.Int64, want)
		if err != nil || !slices.Equal(out, expected) {
			t.Errorf("%s: %v, %v", text, out, err)
		}
	}
	if out, err := appendNumber(nil, protocol.Uint64, "18446744073709551615.0"); err != nil || !slices.Equal(out, bytes.Repeat([]byte{0xff}, 8)) {
		t.Errorf("the largest number: %v, %v", out, err)
	}
	for _, text := range []string{"1.5", "1e-1", "9223372036854775808.0", "1e400", "1e999999999", "1e-999999999", strings.Repeat("0", 100) + ".0"} {
		if out, err := appendNumber(nil, protocol.Int64, text); err == nil {
			t.Errorf("%s is %v", text, out)
		}
	}
	if _, err := appendNumber(nil, protocol.Uint8, "256.0"); err == nil {
		t.Error("256.0 is a UINT8")
	}
}

func TestNoFiniteNumberBecomesInfinity(t *testing.T) {
	for _, row := range []struct {
		datatype protocol.DataType
		value    float64
		fits     bool
	}{
		{protocol.FP16, 65504, true}, {protocol.FP16, 65519, true}, {protocol.FP16, 65520, false}, {protocol.FP16, -1e5, false}, {protocol.FP16, 1e300, false},
		{protocol.FP32, 3.4e38, true}, {protocol.FP32, 1e39, false}, {protocol.FP32, -1e300, false}, {protocol.FP64, 1e300, true},
	} {
		request := map[string]any{"inputs": []any{map[string]any{"name": "x", "datatype": row.datatype, "shape": []int{1}, "data": []float64{row.value}}}}
		packed, err := msgpack.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range [][]byte{packed, EncodeBody(protocol.JSON, request)} {
			if _, fault := DecodeInfer(body); (fault == nil) != row.fits {
				t.Errorf("%v as %s in %v: %v", row.value, row.datatype, EncodingOf(body), fault)
			}
		}
	}
	infinite, err := msgpack.Marshal(map[string]any{"inputs": []any{map[string]any{"name": "x", "datatype": "FP16", "shape": []int{1}, "data": []float64{math.Inf(1)}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, fault := DecodeInfer(infinite); fault != nil {
		t.Errorf("infinity is data: %v", fault)
	}
}

func TestARequestNamesTheOutputsThatItWants(t *testing.T) {
	want := []string{"b", "a"}
	for _, body := range [][]byte{[]byte(`{"inputs":[],"outputs":[{"name":"b"},{"name":"a","parameters":{}}]}`), EncodeInfer(&protocol.InferRequest{Outputs: want})} {
		if r, fault := DecodeInfer(body); fault != nil || !slices.Equal(r.Outputs, want) {
			t.Errorf("%v: %v, %v", EncodingOf(body), r.Outputs, fault)
		}
	}
}
