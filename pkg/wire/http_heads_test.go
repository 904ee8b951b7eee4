package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
)

// TestWhatIsRememberedMeansTheSame: heads that were seen before, with other data, with data of
// another size, and cut elsewhere, are read as DecodeHTTP reads them.
func TestWhatIsRememberedMeansTheSame(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	input := func(name string, size int) string {
		return fmt.Sprintf(`{"name":%q,"shape":[%d],"datatype":"UINT8","parameters":{"binary_data_size":%d}}`, name, size, size)
	}
	var all []string
	for _, more := range []string{"", `"id":"r",`, `"parameters":{"slo_ms":7,"binary_data_output":true},`, `"outputs":[{"name":"y","parameters":{"binary_data":false}}],`} {
		for _, inputs := range []string{input("x", 8), input("x", 3) + "," + input("y", 5), input("x", 0) + "," + input("y", 8), input("x", 9),
			`{"name":"z","shape":[1],"datatype":"UINT8","data":[7]},` + input("x", 8), `{"name":"z","shape":[8],"datatype":"UINT8","data":[1,2,3,4,5,6,7,8]}`} {
			all = append(all, `{`+more+`"inputs":[`+inputs+`]}`)
		}
	}
	all = append(all, `{"inputs":[`+input("x", 8)+`]}`+strings.Repeat(" ", maxHead))
	var memory HTTPHeads
	remembered := 0
	for range 5000 {
		head := all[dice.IntN(len(all))]
		data := make([]byte, []int{8, 8, 8, 7, 9, 0}[dice.IntN(6)])
		for i := range data {
			data[i] = byte(dice.Uint32())
		}
		size := len(head)
		if dice.IntN(20) == 0 {
			size -= dice.IntN(2)
		}
		body := append([]byte(head), data...)
		got, fault := memory.Decode(bytes.Clone(body), size)
		want, wanted := DecodeHTTP(body, size)
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(fault, wanted) {
			t.Fatalf("%s and %v: %+v, %v; want %+v, %v", head, data, got, fault, want, wanted)
		}
		for _, in := range got.Inputs {
			if len(in.Data) != cap(in.Data) && len(in.Data) == len(data) {
				t.Fatal("what follows the data of an input can be overwritten")
			}
		}
	}
	for i := range memory.places {
		if p := memory.places[i].Load(); p != nil {
			remembered++
			if len(p.json) > maxHead || bytes.Contains(p.json, []byte(`"data":[7]`)) {
				t.Errorf("remembered is %s", p.json)
			}
		}
	}
	if remembered < 8 {
		t.Errorf("%d heads are remembered", remembered)
	}
}

func BenchmarkHTTPHead(b *testing.B) {
	head := `{"parameters":{"slo_ms":10000,"binary_data_output":true},"inputs":[{"name":"input","datatype":"UINT8","shape":[256],"parameters":{"binary_data_size":256}}]}`
	body := append([]byte(head), make([]byte, 256)...)
	var memory HTTPHeads
	for name, decode := range map[string]func() error{
		"read":       func() error { _, fault := DecodeHTTP(body, len(head)); return orNil(fault) },
		"remembered": func() error { _, fault := memory.Decode(body, len(head)); return orNil(fault) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// orNil is an error that is nil if there is none.
func orNil(fault *protocol.Error) error {
	if fault == nil {
		return nil
	}
	return fault
}
