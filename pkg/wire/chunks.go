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

// maxWhole bounds the bytes of a message in chunks, maxChunks their number.
const (
	maxWhole  = 256 << 20
	maxChunks = 1 << 16
)

// chunk is one piece of a message.
type chunk struct {
	// issuer is whom a batch of results is for; it is coded only in chunks of results.
	issuer       uint64
	id           uint64 // of the message, random
	index, count int
	data         []byte
}

var (
	chunkCodec = Codec[chunk]{"chunk", func(k *coder, p *chunk) {
		k.array(4)
		codeChunk(k, p)
	}}
	resultChunkCodec = Codec[chunk]{"chunk of results", func(k *coder, p *chunk) {
		k.array(5)
		num(k, &p.issuer)
		codeChunk(k, p)
	}}
)

func codeChunk(k *coder, p *chunk) {
	num(k, &p.id)
	count(k, &p.index)
	count(k, &p.count)
	k.raw(&p.data)
}

// SplitChunks cuts a message into chunks of at most limit bytes each. id identifies the
// message; no two messages of a subject share an id.
func SplitChunks(id uint64, body []byte, limit int64) ([][]byte, error) {
	return split(chunkCodec, chunk{id: id}, body, limit)
}

// SplitResults cuts a batch of results for an issuer, as SplitChunks does.
func SplitResults(issuer, id uint64, body []byte, limit int64) ([][]byte, error) {
	return split(resultChunkCodec, chunk{issuer: issuer, id: id}, body, limit)
}

func split(codec Codec[chunk], p chunk, body []byte, limit int64) ([][]byte, error) {
	size := chunkBytes
	if limit > chunkHeader && limit-chunkHeader < chunkBytes {
		size = int(limit) - chunkHeader
	}
	p.count = max(1, (len(body)+size-1)/size)
	if p.count > maxChunks || len(body) > maxWhole {
		return nil, fmt.Errorf("cut %d bytes into chunks of %d: more than %d bytes or %d chunks", len(body), size, maxWhole, maxChunks)
	}
	messages := make([][]byte, p.count)
	for p.index = range p.count {
		p.data = body[:min(size, len(body))]
		body = body[len(p.data):]
		messages[p.index] = codec.Encode(&p)
	}
	return messages, nil
}

// Chunks reassembles the messages of one subject, one at a time: a message whose chunks
// are mixed with another's is dropped, as if it had been lost in transit. It belongs to
// one goroutine.
type Chunks[T any] struct {
	codec Codec[T]
	parts parts
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
	body, fault := p.parts.add(&got)
	if fault != nil || body == nil {
		return v, false, fault
	}
	v, fault = p.codec.Decode(body)
	return v, fault == nil, fault
}

// parts are the chunks so far of one message.
type parts struct {
	id   uint64
	next int
	body []byte
}

// add adds the next chunk, and returns the message if it is complete, otherwise nil.
func (p *parts) add(got *chunk) ([]byte, *protocol.Error) {
	if got.count < 1 || got.count > maxChunks || got.index < 0 || got.index >= got.count {
		return nil, protocol.Errorf(protocol.BadMessage, "chunk %d of %d", got.index, got.count)
	}
	if got.index == 0 {
		*p = parts{id: got.id}
	}
	if got.id != p.id || got.index != p.next {
		return nil, nil
	}
	p.next++
	if got.count == 1 {
		p.body = got.data
	} else if p.body = append(p.body, got.data...); len(p.body) > maxWhole {
		*p = parts{}
		return nil, protocol.Errorf(protocol.BadMessage, "a message in chunks has more than %d bytes", maxWhole)
	}
	if p.next < got.count {
		return nil, nil
	}
	body := p.body
	*p = parts{}
	if body == nil {
		body = []byte{}
	}
	return body, nil
}
