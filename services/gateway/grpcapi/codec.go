package grpcapi

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec encodes and decodes messages. Requests and answers with tensors are read from the
// library's buffers, and written into them, without a copy of the whole message between.
type codec struct{}

// Name implements encoding.CodecV2.
func (codec) Name() string { return "proto" }

// Unmarshal implements encoding.CodecV2. What is wrong with an infer request is kept in it.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *request:
		m.decode(data)
		return nil
	case proto.Message:
		whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
		defer whole.Free()
		return proto.Unmarshal(whole.ReadOnlyData(), m)
	}
	return fmt.Errorf("decode %T: no message of this service", v)
}

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *answer:
		return m.parts, nil
	case proto.Message:
		body, err := proto.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(body)}, err
	}
	return nil, fmt.Errorf("encode %T: no message of this service", v)
}
