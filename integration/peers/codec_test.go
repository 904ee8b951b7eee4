package main

import "google.golang.org/grpc/mem"

// wholeCodec gives a server messages as bytes.
type wholeCodec struct{}

func (wholeCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (wholeCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (wholeCodec) Name() string { return "proto" }
