package wire

import (
	"fmt"

	"clockwork/pkg/protocol"
)

// A message that names every model of a stack may be larger than the broker's maximum
// payload. It is published as chunks on one subject, in order; a smaller message is one
// chunk.

// chunkBytes is the largest payload of a chunk, on a broker that allows messages of that
// size.
const chunkBytes = 1 << 20

// chunkHeader bounds the encoded bytes of a chunk besides its payload.
const chunkHeader = 64

// maxChunks bounds one message.
const maxChunks = 256

// chunk is one piece of a message.
type chunk struct {
	id           uint64 // of the message, random
	index, count int
	data         []byte
}

var chunkCodec = Codec[chunk]{"chunk", func(k *coder, p *chunk) {
	k.array(4)
	num(k, &p.id)
	num(k, &p.index)
	num(k, &p.count)
	k.raw(&p.data)
}}

// SplitChunks cuts a message into chunks of at most limit bytes each. id identifies the
// message; no two messages of a subject share an id.
func SplitChunks(id uint64, body []byte, limit int64) ([][]byte, error) {
	size := chunkBytes
	if limit > chunkHeader && limit-chunkHeader < chunkBytes {
		size = int(limit) - chunkHeader
	}
	count := max(1, (len(body)+size-1)/size)
	if count > maxChunks {
		return nil, fmt.Errorf("cut %d bytes: more than %d chunks of %d bytes", len(body), maxChunks, size)
	}
	messages := make([][]byte, count)
	for i := range count {
		p := chunk{id, i, count, body[:min(size, len(body))]}
		body = body[len(p.data):]
		messages[i] = chunkCodec.Encode(&p)
	}
	return messages, nil
}

// Chunks reassembles the messages of one subject, one at a time: a message whose chunks
// are mixed with another's is dropped, as if it had been lost in transit. It belongs to
// one goroutine.
type Chunks[T any] struct {
	codec Codec[T]
	id    uint64
	next  int
	body  []byte
}

// NewChunks returns a Chunks for messages of a codec.
func NewChunks[T any](codec Codec[T]) *Chunks[T] { return &Chunks[T]{codec: codec} }

// Add adds the next chunk. whole reports whether the chunk completed its message, which
// is then v. The error is BAD_MESSAGE.
func (p *Chunks[T]) Add(message []byte) (v T, whole bool, fault *protocol.Error) {
	got, fault := chunkCodec.Decode(message)
	if fault != nil {
		return v, false, fault
	}
	if got.count < 1 || got.count > maxChunks || got.index < 0 || got.index >= got.count {
		return v, false, protocol.Errorf(protocol.BadMessage, "decode %s: chunk %d of %d", p.codec.name, got.index, got.count)
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
