package grpcapi

import (
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/grpcapi/oippb"
)

// BenchmarkPayload is a request of 600 kB that came in frames of 16 kB, and an answer of as
// many: as a gateway reads and writes them, and by the generated code.
func BenchmarkPayload(b *testing.B) {
	const bytes, frame = 600_000, 16 << 10
	m := example()
	m.RawInputContents[0] = make([]byte, bytes)
	body := encoded(b, m)
	frames := make([]int, len(body)/frame)
	for i := range frames {
		frames[i] = frame
	}
	in := inPieces(body, frames...)
	data := make([]byte, bytes)
	response := protocol.InferResponse{ModelName: "m", Outputs: []protocol.Tensor{{Name: "y", Datatype: protocol.FP32, Shape: []int64{1, bytes / 4}, Data: data}}}
	c := &conn{of: &listener{}}
	for name, read := range map[string]proto.Message{"in": nil, "in, generated": &oippb.ModelInferRequest{}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(bytes)
			for b.Loop() {
				into := any(read)
				if read == nil {
					into = &request{}
				}
				if err := (codec{}).Unmarshal(in, into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("out", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(bytes)
		for b.Loop() {
			newAnswer(appendHead(nil, &response), response.Outputs, c, false).parts.Free()
		}
	})
	b.Run("out, generated", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(bytes)
		for b.Loop() {
			parts, err := (codec{}).Marshal(&oippb.ModelInferResponse{ModelName: "m", RawOutputContents: [][]byte{data}})
			if err != nil {
				b.Fatal(err)
			}
			mem.BufferSlice.Free(parts)
		}
	})
}
