package wire

import (
	"fmt"

	"clockwork/pkg/protocol"
)

// A message that names every model of a stack may be larger than the broker
// carries. It travels as a parcel: parts of one subject, in order. What is
// smaller is a parcel of one part.

// partBytes is how much of a message one part carries at most, on a broker
// that carries that much.
const chunkBytes = 1 << 20

// partHead is what a part takes beside its bytes.
const chunkHeader = 64

// maxParts bounds a parcel.
const maxChunks = 256

// part is one message of a parcel.
type chunk struct {
	id           uint64 // of the parcel, random
	index, count int
	data         []byte
}

var chunkCodec = Codec[chunk]{"part", func(k *coder, p *chunk) {
	k.array(4)
	num(k, &p.id)
	num(k, &p.index)
	num(k, &p.count)
	k.raw(&p.data)
}}

// Parts cuts a message into the parts of a parcel, each in a message of at most
// limit bytes. id names the parcel; no two parcels of a subject share one.
func SplitChunks(id uint64, body []byte, limit int64) ([][]byte, error) {
	size := chunkBytes
	if limit > chunkHeader && limit-chunkHeader < chunkBytes {
		size = int(limit) - chunkHeader
	}
	count := max(1, (len(body)+size-1)/size)
	if count > maxChunks {
		return nil, fmt.Errorf("cut %d bytes: more than %d parts of %d bytes", len(body), maxChunks, size)
	}
	messages := make([][]byte, count)
	for i := range count {
		p := chunk{id, i, count, body[:min(size, len(body))]}
		body = body[len(p.data):]
		messages[i] = chunkCodec.Encode(&p)
	}
	return messages, nil
}

// Parcels puts the parcels of one subject together. One at a time is held: a
// parcel whose parts are mixed with another's is dropped, as if it had been
// lost on the way. It belongs to one goroutine.
type Chunks[T any] struct {
	codec Codec[T]
	id    uint64
	next  int
	body  []byte
}

// NewParcels receives messages of a codec.
func NewChunks[T any](codec Codec[T]) *Chunks[T] { return &Chunks[T]{codec: codec} }

// Add takes the next part. whole reports whether it was the last one of a
// parcel; then v is the message. The error is BAD_MESSAGE.
func (p *Chunks[T]) Add(message []byte) (v T, whole bool, fault *protocol.Error) {
	got, fault := chunkCodec.Decode(message)
	if fault != nil {
		return v, false, fault
	}
	if got.count < 1 || got.count > maxChunks || got.index < 0 || got.index >= got.count {
		return v, false, protocol.Errorf(protocol.BadMessage, "decode %s: part %d of %d", p.codec.name, got.index, got.count)
	}
	if got.index == 0 {
		p.id, p.next, p.body = got.id, 0, nil
	}
	if got.id != p.id || got.index != p.next {
		return v, false, nil
	}
	p.next++
	if got.count == 1 {
		p.body = got.data
	} else {
		p.body = append(p.body, got.data...)
	}
	if p.next < got.count {
		return v, false, nil
	}
	body := p.body
	p.id, p.next, p.body = 0, 0, nil
	v, fault = p.codec.Decode(body)
	return v, fault == nil, fault
}
