package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Payload determines the inputs of requests: one encoded request per model path
// and number of items, in which only the SLO changes.
type Payload struct {
	// inputs returns the inputs of a request; none: the worker generates them.
	inputs func(m protocol.ModelState, items int) ([]protocol.Tensor, error)
}

// Generated is the payload without inputs: workers generate them, if they may.
func Generated() Payload {
	return Payload{func(protocol.ModelState, int) ([]protocol.Tensor, error) { return nil, nil }}
}

// Random is the payload with random inputs of the right shape, the same each
// time.
func Random() Payload {
	return Payload{func(m protocol.ModelState, items int) ([]protocol.Tensor, error) {
		return client.Sample(m.Inputs, items), nil
	}}
}

// Given is the payload with the inputs that read returns for the model.
func Given(read func(m protocol.ModelState) ([]protocol.Tensor, error)) Payload {
	return Payload{func(m protocol.ModelState, _ int) ([]protocol.Tensor, error) { return read(m) }}
}

// encoded is an encoded request; its SLO is at offset at.
type encoded struct {
	body []byte
	at   int
	slo  time.Duration
}

// sloKey precedes the SLO in an encoded request: its key, then the MessagePack
// mark of a float64.
var sloKey = []byte("slo_ms\xcb")

func encode(inputs []protocol.Tensor) *encoded {
	slo := 0.0
	body := wire.EncodeInfer(&protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo}, Inputs: inputs})
	at := bytes.Index(body, sloKey)
	if at < 0 {
		panic("bench: an encoded request without its SLO")
	}
	return &encoded{body: body, at: at + len(sloKey)}
}

// within returns the request with this SLO, valid until the next call.
func (e *encoded) within(slo time.Duration) []byte {
	if e.slo != slo {
		e.slo = slo
		binary.BigEndian.PutUint64(e.body[e.at:], math.Float64bits(float64(slo)/float64(time.Millisecond)))
	}
	return e.body
}

// bodies caches the encoded requests by path, because copies take the same.
type bodies struct {
	payload Payload
	known   map[bodyKey]*encoded
}

type bodyKey struct {
	path  string
	items int
}

// of returns the request for this number of items of a model.
func (b *bodies) of(m protocol.ModelState, items int) (*encoded, error) {
	key := bodyKey{m.Path, items}
	if known := b.known[key]; known != nil {
		return known, nil
	}
	inputs, err := b.payload.inputs(m, items)
	if err != nil {
		return nil, fmt.Errorf("inputs for %s: %w", m.Name, err)
	}
	b.known[key] = encode(inputs)
	return b.known[key], nil
}
