package grpcapi

import (
	"math"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/oip"
)

// answer is an encoded ModelInferResponse or ModelStreamInferResponse. The data of large
// outputs are those that came from the worker: they are copied into the connection alone.
type answer struct{ parts mem.BufferSlice }

// appendHead appends a ModelInferResponse without its raw contents.
func appendHead(dst []byte, r *protocol.InferResponse) []byte {
	oip.NameVersion(r)
	dst = appendText(dst, 1, r.ModelName)
	dst = appendText(dst, 2, r.ModelVersion)
	dst = appendText(dst, 3, r.ID)
	dst = appendResponseParameters(dst, &r.Parameters)
	var shape, output []byte
	for i := range r.Outputs {
		t := &r.Outputs[i]
		shape = shape[:0]
		for _, d := range t.Shape {
			shape = protowire.AppendVarint(shape, uint64(d))
		}
		output = appendText(output[:0], 1, t.Name)
		output = appendText(output, 2, string(t.Datatype))
		output = appendBytes(output, 3, shape)
		dst = appendBytes(dst, 5, output)
	}
	return dst
}

// appendResponseParameters appends what an answer says of its time.
func appendResponseParameters(dst []byte, p *protocol.ResponseParameters) []byte {
	for _, n := range []struct {
		key   string
		value int64
	}{
		{"latency_us", p.LatencyUS}, {"batch_size", int64(p.BatchSize)}, {"scheduler_us", p.SchedulerUS}, {"queue_us", p.QueueUS},
		{"input_us", p.InputUS}, {"exec_us", p.ExecUS}, {"output_us", p.OutputUS},
	} {
		dst = appendInteger(dst, n.key, n.value)
	}
	dst = appendParameter(dst, "worker", appendText(nil, 3, p.Worker))
	dst = appendParameter(dst, "cold_start", protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), protowire.EncodeBool(p.ColdStart)))
	return appendFloat(dst, "buffered_ms", p.BufferedMS)
}

func appendInteger(dst []byte, key string, v int64) []byte {
	var value [16]byte
	return appendParameter(dst, key, protowire.AppendVarint(protowire.AppendTag(value[:0], 2, protowire.VarintType), uint64(v)))
}

func appendFloat(dst []byte, key string, v float64) []byte {
	var value [16]byte
	return appendParameter(dst, key, protowire.AppendFixed64(protowire.AppendTag(value[:0], 4, protowire.Fixed64Type), math.Float64bits(v)))
}

// appendParameter appends an entry of the map of parameters.
func appendParameter(dst []byte, key string, value []byte) []byte {
	dst = protowire.AppendTag(dst, 4, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(1+protowire.SizeBytes(len(key))+1+protowire.SizeBytes(len(value))))
	dst = appendText(dst, 1, key)
	return appendBytes(dst, 2, value)
}

func appendText(dst []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), text)
}

func appendBytes(dst []byte, number protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), body)
}

// sizeOf is how many bytes an answer has whose head has so many.
func sizeOf(head int, outputs []protocol.Tensor) int {
	for i := range outputs {
		head += 1 + protowire.SizeBytes(len(outputs[i].Data))
	}
	return head
}

// copied is the size up to which a tensor is copied behind what stands before it: below, one
// piece costs less than two.
const copied = 4 << 10

// newAnswer makes the message out of an encoded head and its outputs. c counts what of it the
// client has not read. inStream: it is one of several.
func newAnswer(head []byte, outputs []protocol.Tensor, c *conn, inStream bool) *answer {
	piece := make([]byte, 0, len(head)+16)
	if inStream {
		piece = protowire.AppendTag(piece, 2, protowire.BytesType)
		piece = protowire.AppendVarint(piece, uint64(sizeOf(len(head), outputs)))
	}
	piece = append(piece, head...)
	a := &answer{}
	for i := range outputs {
		data := outputs[i].Data
		piece = protowire.AppendTag(piece, 6, protowire.BytesType)
		piece = protowire.AppendVarint(piece, uint64(len(data)))
		if len(data) <= copied {
			piece = append(piece, data...)
			continue
		}
		a.add(piece, c)
		a.add(data, c)
		piece = nil
	}
	a.add(piece, c)
	return a
}

func (a *answer) add(piece []byte, c *conn) {
	if len(piece) > 0 {
		a.parts = append(a.parts, mem.NewBuffer(&piece, newUnread(piece, c)))
	}
}

// unread is how the library says that a part of an answer was taken: it gives the memory back
// to where it believes that it is from.
type unread struct{ of *conn }

func newUnread(piece []byte, c *conn) mem.BufferPool {
	if mem.IsBelowBufferPoolingThreshold(cap(piece)) {
		return nil // it is not given back; calls bound how many of these there are
	}
	c.send(int64(cap(piece)))
	return unread{c}
}

// Get implements mem.BufferPool; nobody takes from here.
func (unread) Get(size int) *[]byte {
	b := make([]byte, size)
	return &b
}

// Put implements mem.BufferPool.
func (u unread) Put(piece *[]byte) { u.of.sent(int64(cap(*piece))) }
