package work

import (
	"slices"

	"clockwork/pkg/protocol"
)

// inputs matches payloads with the actions that need them; either may arrive first. An
// action claims a payload for itself; a request that is tried again needs its payload
// again. MaxInputBytes bounds all payloads and MaxInputs the unclaimed ones. Beyond that the
// oldest unclaimed ones are dropped: a request may have been served by a payload that came
// before, or elsewhere, and then nobody claims this one. If that makes no room the new one
// is dropped. An action whose payload was dropped ends with INPUT_MISSING.
//
// Invariants: no request is in both arrived and waiting; unclaimed <= bytes.
type inputs struct {
	// arrived are the payloads that no action has claimed, at most MaxInputs.
	arrived map[protocol.RequestID]arrivedInput
	// order lists the arrivals of unclaimed payloads, the oldest first, and for a while
	// those of claimed ones: at most 64 and as many as are unclaimed.
	order []inputArrival
	// waiting are the accepted Infers by the requests whose payloads they miss.
	waiting map[protocol.RequestID]*Order
	// bytes is the sum of all payloads held, claimed or not, at most MaxInputBytes;
	// unclaimed is that of arrived.
	bytes, unclaimed int64
}

// inputArrival is when the payload of a request arrived.
type inputArrival struct {
	id protocol.RequestID
	at protocol.Time
}

// arrivedInput is an unclaimed payload: Input.Data, its length in bytes, and its local
// time of arrival.
type arrivedInput struct {
	data  []byte
	bytes int64
	at    protocol.Time
}

func newInputs() inputs {
	return inputs{arrived: map[protocol.RequestID]arrivedInput{}, waiting: map[protocol.RequestID]*Order{}}
}

// input assigns a payload to the action that waits for it, or keeps it for one that has
// not arrived. The last payload of an action stages it.
func (w *Worker) input(e *Input) {
	in := &w.inputs
	if _, twice := in.arrived[e.ID]; twice {
		return
	}
	o := in.waiting[e.ID]
	if in.bytes-in.unclaimed+e.Bytes > w.config.MaxInputBytes {
		w.out.Dropped = append(w.out.Dropped, e.ID)
		return
	}
	for o == nil && len(in.arrived) >= w.config.MaxInputs || in.bytes+e.Bytes > w.config.MaxInputBytes {
		w.out.Dropped = append(w.out.Dropped, in.dropOldest())
	}
	if o == nil {
		in.bytes, in.unclaimed = in.bytes+e.Bytes, in.unclaimed+e.Bytes
		in.arrived[e.ID] = arrivedInput{e.Data, e.Bytes, w.now}
		in.order = append(in.order, inputArrival{e.ID, w.now})
		return
	}
	delete(in.waiting, e.ID)
	in.bytes += e.Bytes
	o.take(e.ID, e.Data, e.Bytes)
	if o.missing > 0 {
		return
	}
	if refusal := o.checkInputs(); refusal != nil {
		if o.gpu.executions.Has(o.Number) {
			o.gpu.withdraw(o, refusal)
		}
		return
	}
	w.stage(o)
}

// claim moves the arrived payloads of an order's requests to the order, and registers
// the order for the missing ones. An Infer without requests is a measurement: it runs
// on generated inputs.
func (in *inputs) claim(o *Order) {
	members := max(1, len(o.Action.Requests))
	o.Inputs, o.here = make([][]byte, members), make([]bool, members)
	for i, r := range o.Action.Requests {
		p, here := in.arrived[r.ID]
		switch {
		case r.Generated:
			o.here[i] = true
		case here:
			delete(in.arrived, r.ID)
			in.unclaimed -= p.bytes
			o.Inputs[i], o.here[i] = p.data, true
			o.InputBytes += p.bytes
			o.sizes = append(o.sizes, memberSize{i, p.bytes})
		default:
			o.missing++
			in.waiting[r.ID] = o
		}
	}
}

// take adds the payload of one request to an order that missed it.
func (o *Order) take(id protocol.RequestID, data []byte, bytes int64) {
	for i, r := range o.Action.Requests {
		if r.ID == id && !o.here[i] {
			o.Inputs[i], o.here[i] = data, true
			o.InputBytes += bytes
			o.sizes = append(o.sizes, memberSize{i, bytes})
			o.missing--
			return
		}
	}
}

// memberSize is the length in bytes of the payload that arrived for a member, which is
// an index into Action.Requests.
type memberSize struct {
	member int
	bytes  int64
}

// checkInputs returns INVALID_INPUT if the length of a payload does not match its
// request's items. No payload is missing.
func (o *Order) checkInputs() *protocol.Error {
	for _, s := range o.sizes {
		r := &o.Action.Requests[s.member]
		if want := int64(r.Batch) * o.Spec.ItemBytes(); s.bytes != want {
			return protocol.Errorf(protocol.InvalidInput, "request %v: %d items of %s take %d bytes, got %d", r.ID, r.Batch, o.Action.Model, want, s.bytes)
		}
	}
	return nil
}

// release frees an order's payloads and ends its wait for missing ones.
func (in *inputs) release(o *Order) {
	if o.missing > 0 {
		for _, r := range o.Action.Requests {
			if in.waiting[r.ID] == o {
				delete(in.waiting, r.ID)
			}
		}
	}
	in.bytes -= o.InputBytes
	o.Inputs, o.InputBytes = nil, 0
}

// expire drops unclaimed payloads that arrived at `before` or earlier. It looks at the
// oldest only, so that a step costs the same however many payloads are waiting.
func (in *inputs) expire(before protocol.Time) {
	for len(in.order) > 0 && (in.order[0].at <= before || in.claimed(in.order[0])) {
		first := in.order[0]
		in.order = in.order[1:]
		if !in.claimed(first) {
			in.drop(first.id)
		}
	}
	if len(in.order) > 2*len(in.arrived)+64 {
		in.order = slices.DeleteFunc(in.order, in.claimed)
	}
}

// dropOldest drops the unclaimed payload that arrived first; there is one.
func (in *inputs) dropOldest() protocol.RequestID {
	for in.claimed(in.order[0]) {
		in.order = in.order[1:]
	}
	first := in.order[0].id
	in.order = in.order[1:]
	in.drop(first)
	return first
}

// drop removes an unclaimed payload.
func (in *inputs) drop(id protocol.RequestID) {
	p := in.arrived[id]
	delete(in.arrived, id)
	in.bytes, in.unclaimed = in.bytes-p.bytes, in.unclaimed-p.bytes
}

// claimed reports whether an action has claimed what arrived then.
func (in *inputs) claimed(a inputArrival) bool {
	p, here := in.arrived[a.id]
	return !here || p.at != a.at
}
