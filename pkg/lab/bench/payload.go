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

// Payload is what requests bring: for each path of a model and number of items
// one encoded request, in which only the SLO changes.
type Payload struct {
	// inputs makes the inputs of a request; none asks the worker for them.
	inputs func(m protocol.ModelState, items int) ([]protocol.Tensor, error)
}

// Generated requests bring no inputs: workers make them, if they may.
func Generated() Payload {
	return Payload{func(protocol.ModelState, int) ([]protocol.Tensor, error) { return nil, nil }}
}

// Random requests bring made-up inputs of the right shape, the same each time.
func Random() Payload {
	return Payload{func(m protocol.ModelState, items int) ([]protocol.Tensor, error) {
		return client.Sample(m.Inputs, items), nil
	}}
}

// Given requests all bring what read says of their model.
func Given(read func(m protocol.ModelState) ([]protocol.Tensor, error)) Payload {
	return Payload{func(m protocol.ModelState, _ int) ([]protocol.Tensor, error) { return read(m) }}
}

// encoded is a request whose SLO can be changed where it stands.
type encoded struct {
	body []byte
	at   int
	slo  time.Duration
}

// sloKey is how the SLO begins in an encoded request: its key, then the mark
// of eight bytes of a number.
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

// within is the request with an SLO, until it is asked for another one.
func (e *encoded) within(slo time.Duration) []byte {
	if e.slo != slo {
		e.slo = slo
		binary.BigEndian.PutUint64(e.body[e.at:], math.Float64bits(float64(slo)/float64(time.Millisecond)))
	}
	return e.body
}

// bodies keeps the encoded requests by path, since copies take the same.
type bodies struct {
	payload Payload
	known   map[bodyKey]*encoded
}

type bodyKey struct {
	path  string
	items int
}

// of is the request for so many items of a model.
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
