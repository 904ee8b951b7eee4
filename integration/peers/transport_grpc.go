package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/protocol"
)

// grpcLine sends each request from a goroutine over a shared connection.
type grpcLine struct {
	connection *grpc.ClientConn
	answered   answer
}

// window is how many bytes a server may have in flight to a client; the messages of some
// pictures.
const window = 4 << 20

func openGRPC(url string) (lines []bench.Line, closeAll func(), err error) {
	var opened []*grpc.ClientConn
	closeAll = func() {
		for _, c := range opened {
			_ = c.Close()
		}
	}
	for range connections {
		c, err := grpc.NewClient(url, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(encodedCodec{})), grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(4*window))
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("connect to %s: %w", url, err)
		}
		opened = append(opened, c)
		lines = append(lines, &grpcLine{connection: c})
	}
	return lines, closeAll, nil
}

func (l *grpcLine) Open(answered func(token uint64, o client.Outcome)) error {
	l.answered = answered
	return nil
}

func (l *grpcLine) Send(token uint64, model string, in *bench.Inputs, within time.Duration) error {
	go l.exchange(token, inferMessage(model, in), within)
	return nil
}

// exchange sends a request with gRPC's own deadline, and reports its answer.
func (l *grpcLine) exchange(token uint64, message []byte, within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var size atomic.Int64
	err := l.connection.Invoke(ctx, "/inference.GRPCInferenceService/ModelInfer", message, &size)
	if code := grpcCode(status.Code(err)); code != protocol.OK {
		l.answered.failed(token, code)
		return
	}
	l.answered.served(token, int(size.Load()))
}

// grpcCode is the code that says what gRPC's says.
func grpcCode(c codes.Code) protocol.Code {
	switch c {
	case codes.OK:
		return protocol.OK
	case codes.DeadlineExceeded:
		return protocol.DeadlineExceeded
	case codes.ResourceExhausted, codes.Unavailable:
		return protocol.Overloaded
	}
	return protocol.Internal
}

// inferMessage is a ModelInferRequest with raw contents:
// https://github.com/kserve/open-inference-protocol.
func inferMessage(model string, in *bench.Inputs) []byte {
	t := in.Tensors[0]
	var dims []byte
	for _, d := range t.Shape {
		dims = binary.AppendUvarint(dims, uint64(d))
	}
	input := field(field(field(nil, 1, []byte(t.Name)), 2, []byte(t.Datatype)), 3, dims)
	message := make([]byte, 0, len(t.Data)+len(input)+len(model)+64)
	return field(field(field(message, 1, []byte(model)), 5, input), 7, t.Data)
}

func field(message []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(message, number, protowire.BytesType), value)
}

// encodedCodec takes requests that are encoded already, and counts the bytes of answers.
type encodedCodec struct{}

func (encodedCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (encodedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	v.(*atomic.Int64).Store(int64(data.Len()))
	return nil
}

func (encodedCodec) Name() string { return "proto" }
