package wire

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
)

// controlRequests are the bodies of all control requests, which DecodeBody decodes.
var controlRequests = []any{protocol.LoadRequest{}, protocol.PageRequest{}, protocol.Question{}}

// A number in msgpack is taken where a whole number in range is wanted only if it is one, of
// whatever type: nothing is cut, and nothing runs over.
func TestControlRequestsTakeWholeNumbersAlone(t *testing.T) {
	tried := 0
	for _, request := range controlRequests {
		of := reflect.TypeOf(request)
		for i := range of.NumField() {
			field := of.Field(i)
			kind := field.Type
			if kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			if !kind.ConvertibleTo(reflect.TypeFor[int64]()) || kind.Kind() == reflect.Bool {
				continue
			}
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			for _, row := range []struct {
				value any
				want  int64
				taken bool
			}{
				{7, 7, true}, {int8(7), 7, true}, {uint64(7), 7, true}, {7.0, 7, true}, {float32(7), 7, true}, {-7, -7, true}, {-7.0, -7, true}, {1e3, 1000, true},
				{1.5, 0, false}, {float32(1.5), 0, false}, {math.NaN(), 0, false}, {float32(math.NaN()), 0, false}, {math.Inf(1), 0, false}, {math.Inf(-1), 0, false},
				{uint64(1 << 63), 0, false}, {uint64(math.MaxUint64), 0, false}, {0x1p63, 0, false}, {1e300, 0, false}, {-1e300, 0, false}, {0.1, 0, false},
				{"7", 0, false}, {true, 0, false}, {[]int{7}, 0, false}, {map[string]int{}, 0, false}, {[]byte{7}, 0, false},
			} {
				body, err := msgpack.Marshal(map[string]any{name: row.value})
				if err != nil {
					t.Fatal(err)
				}
				into := reflect.New(of)
				fault := DecodeBody(body, into.Interface())
				tried++
				got := reflect.Indirect(into.Elem().Field(i))
				switch {
				case (fault == nil) != row.taken:
					t.Errorf("%s.%s = %T(%v): %v, decoded %v", of.Name(), field.Name, row.value, row.value, fault, got)
				case row.taken && got.Int() != row.want:
					t.Errorf("%s.%s = %T(%v) is %v", of.Name(), field.Name, row.value, row.value, got)
				case !row.taken && fault.Code != protocol.BadMessage:
					t.Errorf("%s.%s = %T(%v): %v", of.Name(), field.Name, row.value, row.value, fault)
				}
			}
		}
	}
	if tried < 2*25 {
		t.Errorf("%d numbers were tried", tried)
	}
}

// The same holds for the numbers of an inference request outside of its tensors.
func TestInferRequestsTakeWholeNumbersAlone(t *testing.T) {
	for _, row := range []struct {
		value any
		want  int64
		taken bool
	}{
		{2, 2, true}, {uint64(2), 2, true}, {2.0, 2, true}, {float32(2), 2, true},
		{1.5, 0, false}, {math.NaN(), 0, false}, {math.Inf(1), 0, false}, {uint64(1 << 63), 0, false}, {0x1p63, 0, false}, {"2", 0, false}, {true, 0, false},
	} {
		for what, request := range map[string]map[string]any{
			"priority": {"parameters": map[string]any{"priority": row.value}},
			"shape":    {"inputs": []any{map[string]any{"name": "x", "datatype": "UINT8", "shape": []any{row.value}, "data": []byte{1, 2}}}},
		} {
			body, err := msgpack.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			r, fault := DecodeInfer(body)
			got := int64(r.Parameters.Priority)
			if what == "shape" && len(r.Inputs) == 1 && len(r.Inputs[0].Shape) == 1 {
				got = r.Inputs[0].Shape[0]
			}
			if said := fmt.Sprintf("%s = %T(%v)", what, row.value, row.value); (fault == nil) != row.taken {
				t.Errorf("%s: %v, decoded %d", said, fault, got)
			} else if row.taken && got != row.want {
				t.Errorf("%s is %d", said, got)
			}
		}
	}
}
