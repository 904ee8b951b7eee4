package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

// binaryInput is a request with one input of 8 bytes behind the JSON.
const binaryInput = `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}`

func TestTheHeaderLength(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   int // -1: refused
	}{
		{nil, 100}, {[]string{"0"}, 0}, {[]string{"1"}, 1}, {[]string{"99"}, 99}, {[]string{"100"}, 100},
		{[]string{"101"}, -1}, {[]string{"-1"}, -1}, {[]string{""}, -1}, {[]string{"1.0"}, -1}, {[]string{" 1"}, -1}, {[]string{"+1"}, -1}, {[]string{"0x1"}, -1},
		{[]string{"9223372036854775807"}, -1}, {[]string{"9223372036854775808"}, -1}, {[]string{"18446744073709551616"}, -1}, {[]string{"1", "1"}, -1},
	} {
		got, fault := JSONSize(c.values, 100)
		if c.want < 0 {
			if fault == nil || fault.Code != protocol.BadMessage || !strings.Contains(fault.Message, HeaderLength) {
				t.Errorf("%q: %d, %v", c.values, got, fault)
			}
		} else if fault != nil || got != c.want {
			t.Errorf("%q: %d, %v", c.values, got, fault)
		}
	}
}

func TestBinaryInputs(t *testing.T) {
	input := func(parameters string) string {
		return `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":` + parameters + `}]}`
	}
	for _, c := range []struct {
		json   string
		binary int
		want   protocol.Code
		says   string
	}{
		{binaryInput, 8, protocol.OK, ""},
		{input(`{"binary_data_size":8.0}`), 8, protocol.OK, ""},
		{binaryInput, 7, protocol.BadMessage, "binary_data_size is 8, and 7 bytes"},
		{binaryInput, 9, protocol.BadMessage, "1 bytes follow"},
		{binaryInput, 0, protocol.BadMessage, "0 bytes of binary data are left"},
		{input(`{"binary_data_size":-1}`), 8, protocol.BadMessage, "is -1"},
		{input(`{"binary_data_size":9223372036854775807}`), 8, protocol.BadMessage, "9223372036854775807"},
		{input(`{"binary_data_size":9223372036854775808}`), 8, protocol.BadMessage, ""},
		{input(`{"binary_data_size":"8"}`), 8, protocol.BadMessage, ""},
		{input(`{"binary_data_size":1.5}`), 8, protocol.BadMessage, ""},
		{input(`{"Binary_Data_Size":8}`), 8, protocol.BadMessage, ""}, // encoding/json reads it in any case
		{input(`{}`), 0, protocol.InvalidInput, "data is missing"},
		{input(`{}`), 8, protocol.InvalidInput, "data is missing"},
		{input(`{"shared_memory_region":"r"}`), 0, protocol.InvalidInput, "shared memory"},
		{`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1],"parameters":{"binary_data_size":4}}]}`, 4, protocol.BadMessage, "in the JSON and as binary"},
		{`{"Inputs":[]}`, 0, protocol.BadMessage, "inputs"},
		{`{"inputs":[{"name":"x","shape":[1],"datatype":"BF17","data":[1]}]}`, 0, protocol.InvalidInput, "BF17"},
		{`{"parameters":{"sequence_id":7}}`, 0, protocol.InvalidInput, "sequences"},
		{`{"parameters":{"sequence_id":0}}`, 0, protocol.OK, ""},
		{`{"outputs":[{"name":"y","parameters":{"classification":3}}]}`, 0, protocol.InvalidInput, "classification"},
		{`{"outputs":[{"name":"y","parameters":{"shared_memory_region":"r"}}]}`, 0, protocol.InvalidInput, "shared memory"},
		{`{"outputs":[{"name":"y","parameters":{"classification":0}}]}`, 0, protocol.OK, ""},
		{`[]`, 0, protocol.BadMessage, ""},
		{`{"id":"` + strings.Repeat("i", protocol.MaxName+1) + `"}`, 0, protocol.BadMessage, "id"},
	} {
		r, fault := DecodeHTTP(append([]byte(c.json), make([]byte, c.binary)...), len(c.json))
		switch {
		case c.want == protocol.OK && fault != nil:
			t.Errorf("%s: %v", c.json, fault)
		case c.want == protocol.OK && c.binary > 0 && (len(r.Inputs) != 1 || len(r.Inputs[0].Data) != c.binary || cap(r.Inputs[0].Data) != c.binary):
			t.Errorf("%s: %+v", c.json, r)
		case c.want != protocol.OK && (fault == nil || fault.Code != c.want || !strings.Contains(fault.Message, c.says)):
			t.Errorf("%s and %d bytes: %v, want %s with %q", c.json, c.binary, fault, c.want, c.says)
		}
	}
}

func TestInputsTakeTheirBinaryPartsInOrder(t *testing.T) {
	head := `{"inputs":[{"name":"a","shape":[2],"datatype":"UINT8","parameters":{"binary_data_size":2}},{"name":"b","shape":[1],"datatype":"UINT8","data":[9]},{"name":"c","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}`
	r, fault := DecodeHTTP(append([]byte(head), 1, 2, 3), len(head))
	if fault != nil {
		t.Fatal(fault)
	}
	for i, want := range [][]byte{{1, 2}, {9}, {3}} {
		if !bytes.Equal(r.Inputs[i].Data, want) {
			t.Errorf("%s is %v, want %v", r.Inputs[i].Name, r.Inputs[i].Data, want)
		}
	}
}

func TestTheSmallerBudgetCounts(t *testing.T) {
	for text, want := range map[string]float64{
		`{"timeout":50000}`: 50, `{"timeout":50000,"slo_ms":20}`: 20, `{"timeout":10000,"slo_ms":20}`: 10, `{"timeout":0,"slo_ms":20}`: 20, `{"timeout":0}`: 0, `{"timeout":-1}`: -0.001, `{}`: 0,
	} {
		body := `{"parameters":` + text + `}`
		r, fault := DecodeHTTP([]byte(body), len(body))
		got := 0.0
		if fault == nil && r.Parameters.SLOMS != nil {
			got = *r.Parameters.SLOMS
		}
		if fault != nil || got != want {
			t.Errorf("%s: %v ms, %v", text, got, fault)
		}
	}
}

func TestOutputsComeAsTheyAreWanted(t *testing.T) {
	outputs := []protocol.Tensor{
		{Name: "y", Datatype: protocol.Uint8, Shape: []int64{1, 2}, Data: []byte{1, 2}},
		{Name: "z", Datatype: protocol.Uint8, Shape: []int64{1, 1}, Data: []byte{3}},
	}
	for text, want := range map[string]string{
		`{}`: `[{"name":"y","shape":[1,2],"datatype":"UINT8","data":[1,2]},{"name":"z","shape":[1,1],"datatype":"UINT8","data":[3]}]`,
		`{"parameters":{"binary_data_output":true}}`:                                                                          `[{"name":"y","shape":[1,2],"datatype":"UINT8","parameters":{"binary_data_size":2}},{"name":"z","shape":[1,1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]123`,
		`{"outputs":[{"name":"y","parameters":{"binary_data":true}},{"name":"z"}]}`:                                           `[{"name":"y","shape":[1,2],"datatype":"UINT8","parameters":{"binary_data_size":2}},{"name":"z","shape":[1,1],"datatype":"UINT8","data":[3]}]12`,
		`{"parameters":{"binary_data_output":true},"outputs":[{"name":"y"},{"name":"z","parameters":{"binary_data":false}}]}`: `[{"name":"y","shape":[1,2],"datatype":"UINT8","parameters":{"binary_data_size":2}},{"name":"z","shape":[1,1],"datatype":"UINT8","data":[3]}]12`,
	} {
		r, fault := DecodeHTTP([]byte(text), len(text))
		if fault != nil {
			t.Fatal(fault)
		}
		encoded, data := HTTPOutputs(outputs, &r)
		got := string(encoded)
		for _, b := range bytes.Join(data, nil) {
			got += fmt.Sprint(b)
		}
		if got != want {
			t.Errorf("%s: %s\nwant %s", text, got, want)
		}
	}
}

func TestAnErrorOverHTTPIsAString(t *testing.T) {
	e := protocol.Errorf(protocol.DeadlineUnmeetable, "no time")
	e.EarliestMS, e.BudgetMS = 12.5, 10
	got := string(EncodeHTTPError(e))
	if want := `{"error":"DEADLINE_UNMEETABLE: no time","code":"DEADLINE_UNMEETABLE","message":"no time","retryable":true,"earliest_ms":12.5,"budget_ms":10}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzHTTP(f *testing.F) {
	for _, b := range hostile.Seeds() {
		f.Add(b, fmt.Sprint(len(b)))
	}
	f.Add([]byte(binaryInput+"12345678"), fmt.Sprint(len(binaryInput)))
	f.Add([]byte(binaryInput), fmt.Sprint(math.MaxInt64))
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		size, fault := JSONSize([]string{header}, len(body))
		if fault != nil {
			refusedWith(t, fault, protocol.BadMessage)
			return
		}
		hostile.Within(t, most(mostOfClients, body), "a request over HTTP", func() {
			r, fault := DecodeHTTP(body, size)
			if fault != nil {
				refusedWith(t, fault, protocol.BadMessage, protocol.InvalidInput)
				return
			}
			bytes := 0
			for _, tensor := range r.Inputs {
				bytes += len(tensor.Data)
			}
			if bytes > 8*len(body) {
				t.Fatalf("%d bytes out of %d", bytes, len(body))
			}
			text, data := HTTPOutputs(r.Inputs, &r)
			if !json.Valid(text) || len(data) > len(r.Inputs) {
				t.Fatalf("%s", text)
			}
		})
	})
}
