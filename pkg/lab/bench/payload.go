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

// Payload determines the inputs of requests: the same for each request of a model path and
// number of items.
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
		return client.Sample(&m.ModelSpec, items), nil
	}}
}

// Given is the payload with the inputs that read returns for the model.
func Given(read func(m protocol.ModelState) ([]protocol.Tensor, error)) Payload {
	return Payload{func(m protocol.ModelState, _ int) ([]protocol.Tensor, error) { return read(m) }}
}

// Inputs are a request's inputs, as tensors and in Clockwork's own encoding, of which the
// SLO is at offset at.
type Inputs struct {
	Tensors []protocol.Tensor

	body []byte
	at   int
	slo  time.Duration
}

// sloKey precedes the SLO in an encoded request: its key, then the MessagePack
// mark of a float64.
var sloKey = []byte("slo_ms\xcb")

// NewInputs returns the inputs of a request.
func NewInputs(tensors []protocol.Tensor) *Inputs {
	slo := 0.0
	body := wire.EncodeInfer(&protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo}, Inputs: tensors})
	at := bytes.Index(body, sloKey)
	if at < 0 {
		panic("bench: an encoded request without its SLO")
	}
	return &Inputs{Tensors: tensors, body: body, at: at + len(sloKey)}
}

// within returns Clockwork's request with this SLO, valid until the next call.
func (in *Inputs) within(slo time.Duration) []byte {
	if in.slo != slo {
		in.slo = slo
		binary.BigEndian.PutUint64(in.body[in.at:], math.Float64bits(float64(slo)/float64(time.Millisecond)))
	}
	return in.body
}

// known caches inputs by path, because copies take the same.
type known struct {
	payload Payload
	inputs  map[inputsKey]*Inputs
}

type inputsKey struct {
	path  string
	items int
}

// of returns the inputs for this number of items of a model.
func (k *known) of(m protocol.ModelState, items int) (*Inputs, error) {
	key := inputsKey{m.Path, items}
	if in := k.inputs[key]; in != nil {
		return in, nil
	}
	tensors, err := k.payload.inputs(m, items)
	if err != nil {
		return nil, fmt.Errorf("inputs for %s: %w", m.Name, err)
	}
	k.inputs[key] = NewInputs(tensors)
	return k.inputs[key], nil
}
