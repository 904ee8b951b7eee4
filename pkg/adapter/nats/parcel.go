package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
)

// A message that names every model of a stack may be larger than the broker
// carries. It travels as a parcel: parts of one subject, in order. What is
// smaller is a parcel of one part.

// partBytes is how much of a message one part carries at most, on a broker
// that carries that much.
const partBytes = 1 << 20

// partHead is what a part takes beside its bytes.
const partHead = 64

// maxParts bounds a parcel.
const maxParts = 256

// part is one message of a parcel.
type part struct {
	id           uint64 // of the parcel, random
	index, count int
	data         []byte
}

var parts = Codec[part]{"part", func(k *coder, p *part) {
	k.array(4)
	num(k, &p.id)
	num(k, &p.index)
	num(k, &p.count)
	k.raw(&p.data)
}}

// SendParcel publishes a message in as many parts as it takes.
func (b *Bus) SendParcel(nc *nats.Conn, subject string, body []byte) error {
	return sendParts(nc, subject, body, func(last []byte) error { return nc.Publish(subject, last) })
}

// AskParcel is SendParcel, and waits for the answer to the last part.
func (b *Bus) AskParcel(ctx context.Context, nc *nats.Conn, subject string, body []byte) (answer *nats.Msg, err error) {
	err = sendParts(nc, subject, body, func(last []byte) error {
		answer, err = nc.RequestWithContext(ctx, subject, last)
		return err
	})
	return answer, err
}

// sendParts publishes all parts but the last one, which it leaves to finish.
func sendParts(nc *nats.Conn, subject string, body []byte, finish func(last []byte) error) error {
	size := partBytes
	if limit := nc.MaxPayload(); limit > partHead && limit-partHead < partBytes {
		size = int(limit) - partHead
	}
	count := max(1, (len(body)+size-1)/size)
	if count > maxParts {
		return fmt.Errorf("send %d bytes to %s: more than %d parts of %d bytes", len(body), subject, maxParts, size)
	}
	id := RandomID()
	for i := range count {
		p := part{id, i, count, body[:min(size, len(body))]}
		body = body[len(p.data):]
		send := func(part []byte) error { return nc.Publish(subject, part) }
		if i == count-1 {
			send = finish
		}
		if err := send(parts.Encode(&p)); err != nil {
			return fmt.Errorf("send part %d of %d to %s: %w", i+1, count, subject, err)
		}
	}
	return nil
}

// Parcels puts the parcels of one subject together. One at a time is held: a
// parcel whose parts are mixed with another's is dropped, as if it had been
// lost on the way. It belongs to one goroutine.
type Parcels[T any] struct {
	codec Codec[T]
	id    uint64
	next  int
	body  []byte
}

// NewParcels receives messages of a codec.
func NewParcels[T any](codec Codec[T]) *Parcels[T] { return &Parcels[T]{codec: codec} }

// Add takes the next part. whole reports whether it was the last one of a
// parcel; then v is the message. The error is BAD_MESSAGE.
func (p *Parcels[T]) Add(message []byte) (v T, whole bool, fault *protocol.Error) {
	got, fault := parts.Decode(message)
	if fault != nil {
		return v, false, fault
	}
	if got.count < 1 || got.count > maxParts || got.index < 0 || got.index >= got.count {
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
