package worker

import (
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// inputs holds payloads until the action that needs them, and actions until
// their payloads: either may come first. Who claims a payload has it; a request
// that is tried again brings its payload again. All payloads together are
// bounded in number and bytes; one that finds no room is dropped, and its
// action answers INPUT_MISSING.
type inputs struct {
	arrived  map[protocol.RequestID]arrivedInput // not claimed yet
	order    []protocol.RequestID                // of arrival; some may be claimed
	waiting  map[protocol.RequestID]*order
	bytes    int64 // of all payloads, claimed or not
	maxCount int
	maxBytes int64
}

type arrivedInput struct {
	data []byte
	at   time.Time
}

func newInputs(maxCount int, maxBytes int64) *inputs {
	return &inputs{
		arrived:  map[protocol.RequestID]arrivedInput{},
		waiting:  map[protocol.RequestID]*order{},
		maxCount: maxCount,
		maxBytes: maxBytes,
	}
}

// put keeps a payload or gives it to the order that waits for it, which it
// returns. False: there is no room.
func (in *inputs) put(id protocol.RequestID, data []byte, now time.Time) (*order, bool) {
	if _, twice := in.arrived[id]; twice {
		return nil, true
	}
	if len(in.arrived) >= in.maxCount || in.bytes+int64(len(data)) > in.maxBytes {
		return nil, false
	}
	in.bytes += int64(len(data))
	if o := in.waiting[id]; o != nil {
		delete(in.waiting, id)
		o.take(id, data)
		return o, true
	}
	in.arrived[id] = arrivedInput{data, now}
	in.order = append(in.order, id)
	return nil, true
}

// claim gives an order the payloads that are there, and remembers it for the
// others.
func (in *inputs) claim(o *order) {
	o.inputs = make([][]byte, max(1, len(o.action.Requests)))
	for i, r := range o.action.Requests {
		switch p, here := in.arrived[r.ID]; {
		case r.Generated:
		case here:
			o.inputs[i] = p.data
			delete(in.arrived, r.ID)
		default:
			o.missing++
			in.waiting[r.ID] = o
		}
	}
}

// release lets go of an order's payloads and of those it still waits for.
func (in *inputs) release(o *order) {
	for i, r := range o.action.Requests {
		if in.waiting[r.ID] == o {
			delete(in.waiting, r.ID)
		}
		if o.inputs != nil {
			in.bytes -= int64(len(o.inputs[i]))
		}
	}
	o.inputs = nil
}

// expire drops payloads that arrived before an instant and were not claimed.
func (in *inputs) expire(before time.Time) {
	kept := in.order[:0]
	for _, id := range in.order {
		p, here := in.arrived[id]
		switch {
		case here && p.at.After(before):
			kept = append(kept, id)
		case here:
			in.bytes -= int64(len(p.data))
			delete(in.arrived, id)
		}
	}
	in.order = kept
}

// take puts a payload into its place.
func (o *order) take(id protocol.RequestID, data []byte) {
	for i, r := range o.action.Requests {
		if r.ID == id && o.inputs[i] == nil && !r.Generated {
			o.inputs[i] = data
			o.missing--
			return
		}
	}
}

// checkInputs compares the payloads of an order that misses none with what its
// model takes.
func (o *order) checkInputs() *protocol.Error {
	for i, r := range o.action.Requests {
		want := int64(r.Batch) * o.model.spec.ItemBytes()
		if !r.Generated && int64(len(o.inputs[i])) != want {
			return protocol.Errorf(protocol.InvalidInput, "request %v: %d items of %s take %d bytes, got %d", r.ID, r.Batch, o.action.Model, want, len(o.inputs[i]))
		}
	}
	return nil
}

// onInputs takes the payloads of requests.
func (a *agent) onInputs(m *nats.Msg) {
	payloads, fault := wire.Inputs.Decode(m.Data)
	if fault != nil {
		a.bus.Log.Warn("bad inputs", "error", fault)
		return
	}
	a.mu.Lock()
	defer a.unlock()
	for i := range payloads {
		a.takeInput(&payloads[i])
	}
}

// takeInput keeps a payload or gives it to its action, which may be complete
// then. The caller holds the lock.
func (a *agent) takeInput(p *protocol.Input) {
	if p.Data == nil {
		p.Data = []byte{}
	}
	o, kept := a.inputs.put(p.ID, p.Data, time.Now())
	if !kept {
		a.bus.Log.Warn("no room for an input", "request", p.ID, "bytes", len(p.Data), "held", a.inputs.bytes)
	}
	if o != nil && o.missing == 0 {
		o.gpu.complete(o)
	}
}
