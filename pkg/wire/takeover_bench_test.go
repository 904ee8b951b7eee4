package wire

import (
	"fmt"
	"testing"

	"clockwork/pkg/protocol"
)

// BenchmarkStart is what a takeover costs in bytes: the state with all models that a stack may
// have, as the controller sends it and the scheduler reads it.
func BenchmarkStart(b *testing.B) {
	var s protocol.ClockworkState
	for i := range 65536 {
		s.Models = append(s.Models, protocol.ModelSpec{Name: fmt.Sprintf("resnet18_v2-%d", i), Path: "zoo/resnet18_v2", Digest: fmt.Sprintf("%064d", i%64), Backend: "emulated", BackendVersion: "1-x0.1",
			Inputs:     []protocol.TensorSpec{{Name: "data", Datatype: protocol.FP32, Shape: []int64{3, 224, 224}}},
			Outputs:    []protocol.TensorSpec{{Name: "out", Datatype: protocol.FP32, Shape: []int64{1000}}},
			BatchSizes: []int{1, 2, 4, 8, 16}, WeightsBytes: 46 << 20, Pages: 3})
	}
	body := Start.Encode(&s)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			Start.Encode(&s)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for range b.N {
			if _, fault := Start.Decode(body); fault != nil {
				b.Fatal(fault)
			}
		}
	})
}
