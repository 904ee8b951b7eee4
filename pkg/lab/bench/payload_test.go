package bench

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

var picture = protocol.ModelState{ModelSpec: protocol.ModelSpec{
	Name: "m-1", Path: "zoo/m", BatchSizes: []int{1, 16}, Inputs: []protocol.TensorSpec{{Name: "slo_ms", Datatype: protocol.FP32, Shape: []int64{3, 5}}},
}}

func TestTheSLOOfAnEncodedRequestChangesAndNothingElse(t *testing.T) {
	for name, payload := range map[string]Payload{"generated": Generated(), "random": Random()} {
		b := known{payload, map[inputsKey]*Inputs{}}
		body, err := b.of(picture, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, slo := range []time.Duration{100 * time.Millisecond, 2900 * time.Microsecond, time.Hour} {
			r, fault := wire.DecodeInfer(body.within(slo))
			if fault != nil {
				t.Fatal(fault)
			}
			if got := *r.Parameters.SLOMS; got != float64(slo)/1e6 {
				t.Errorf("%s: an SLO of %v ms, want %v", name, got, slo)
			}
			if name == "generated" && len(r.Inputs) != 0 {
				t.Errorf("it brings %v", r.Inputs)
			}
			if name == "random" {
				if n, fault := picture.BatchOf(r.Inputs); fault != nil || n != 2 {
					t.Errorf("%d items, %v", n, fault)
				}
			}
		}
	}
}

func TestCopiesShareTheirRequest(t *testing.T) {
	b := known{Random(), map[inputsKey]*Inputs{}}
	other := picture
	other.Name = "m-2"
	first, _ := b.of(picture, 1)
	if second, _ := b.of(other, 1); first != second {
		t.Error("a copy has a request of its own")
	}
	if more, _ := b.of(other, 2); more == first || len(more.body) <= len(first.body) {
		t.Error("two items are sent as one")
	}
}

func TestInputsThatCannotBeReadAreSaidWithTheirModel(t *testing.T) {
	b := known{Given(func(protocol.ModelState) ([]protocol.Tensor, error) { return nil, errors.New("no such file") }), map[inputsKey]*Inputs{}}
	if _, err := b.of(picture, 1); err == nil || err.Error() != "inputs for m-1: no such file" {
		t.Error(err)
	}
	given := []protocol.Tensor{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{1, 2}, Data: []byte{7, 8}}}
	b = known{Given(func(protocol.ModelState) ([]protocol.Tensor, error) { return given, nil }), map[inputsKey]*Inputs{}}
	body, err := b.of(picture, 1)
	if err != nil || !bytes.Contains(body.body, []byte{7, 8}) {
		t.Errorf("%x, %v", body.body, err)
	}
}
