package client

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clockwork/pkg/protocol"
)

func TestSampleIsWhatTheModelTakes(t *testing.T) {
	m := &protocol.ModelSpec{BatchSizes: []int{1, 4}, Inputs: []protocol.TensorSpec{
		{Name: "image", Datatype: protocol.FP32, Shape: []int64{3, 5, 7}},
		{Name: "half", Datatype: protocol.FP16, Shape: []int64{11}},
		{Name: "double", Datatype: protocol.FP64, Shape: []int64{2}},
		{Name: "tokens", Datatype: protocol.Int64, Shape: []int64{4}},
		{Name: "rate", Datatype: protocol.Bool, Shape: nil},
	}}
	inputs := Sample(m, 3)
	if n, refusal := m.BatchOf(inputs); refusal != nil || n != 3 {
		t.Fatalf("%d items, %v", n, refusal)
	}
	if diff := cmp.Diff(inputs, Sample(m, 3)); diff != "" {
		t.Error("it differs from call to call:", diff)
	}
	for at := 0; at < len(inputs[0].Data); at += 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(inputs[0].Data[at:]))
		if !(v >= 0 && v < 1) {
			t.Fatalf("value %v is not in [0, 1)", v)
		}
	}
	m.NoBatch = true
	if one := Sample(m, 3); len(one[0].Shape) != 3 || len(one[0].Data) != 4*3*5*7 {
		t.Errorf("without a batch dimension: %v, %d bytes", one[0].Shape, len(one[0].Data))
	}
}
