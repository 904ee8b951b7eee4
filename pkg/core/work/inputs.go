package work

import (
	"clockwork/pkg/protocol"
)

// inputs holds payloads until the action that needs them, and actions until their
// payloads: either may come first. Who claims a payload has it; a request that is
// tried again brings its payload again. All payloads together are bounded in bytes, and
// those that nobody has claimed in number; one that finds no room is dropped, and its
// action answers INPUT_MISSING.
type inputs struct {
	arrived map[protocol.RequestID]arrivedInput // not claimed yet
	order   []protocol.RequestID                // of arrival; some may be claimed
	waiting map[protocol.RequestID]*Order
	bytes   int64 // of all payloads, claimed or not
}

type arrivedInput struct {
	data  []byte
	bytes int64
	at    protocol.Time
}

func newInputs() inputs {
	return inputs{arrived: map[protocol.RequestID]arrivedInput{}, waiting: map[protocol.RequestID]*Order{}}
}

// input keeps a payload or gives it to its action, which may be complete then.
func (w *Worker) input(e *Input) {
	in := &w.inputs
	if _, twice := in.arrived[e.ID]; twice {
		return
	}
	o := in.waiting[e.ID]
	if o == nil && len(in.arrived) >= w.config.MaxInputs || in.bytes+e.Bytes > w.config.MaxInputBytes {
		w.out.Dropped = append(w.out.Dropped, e.ID)
		return
	}
	if o == nil {
		in.bytes += e.Bytes
		in.arrived[e.ID] = arrivedInput{e.Data, e.Bytes, w.now}
		in.order = append(in.order, e.ID)
		return
	}
	delete(in.waiting, e.ID)
	in.bytes += e.Bytes
	o.take(e.ID, e.Data, e.Bytes)
	if o.missing > 0 {
		return
	}
	if refused := o.checkInputs(); refused != nil {
		if o.gpu.executions.Has(o.Number) {
			o.gpu.withdraw(o, refused)
		}
		return
	}
	w.stage(o)
}

// claim gives an order the payloads that are here, and remembers it for the others.
// A measurement has no members and needs none.
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
			o.Inputs[i], o.here[i] = p.data, true
			o.InputBytes += p.bytes
			o.sizes = append(o.sizes, memberSize{i, p.bytes})
		default:
			o.missing++
			in.waiting[r.ID] = o
		}
	}
}

// take puts a payload into its place.
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

// memberSize is how many bytes came for a member.
type memberSize struct {
	member int
	bytes  int64
}

// checkInputs compares the payloads of an order that misses none with what its
// model takes.
func (o *Order) checkInputs() *protocol.Error {
	for _, s := range o.sizes {
		r := &o.Action.Requests[s.member]
		if want := int64(r.Batch) * o.Spec.ItemBytes(); s.bytes != want {
			return protocol.Errorf(protocol.InvalidInput, "request %v: %d items of %s take %d bytes, got %d", r.ID, r.Batch, o.Action.Model, want, s.bytes)
		}
	}
	return nil
}

// release lets go of an order's payloads and of those it still waits for.
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

// expire drops payloads that arrived before an instant and were not claimed.
func (in *inputs) expire(before protocol.Time) {
	kept := in.order[:0]
	for _, id := range in.order {
		p, here := in.arrived[id]
		switch {
		case here && p.at > before:
			kept = append(kept, id)
		case here:
			in.bytes -= p.bytes
			delete(in.arrived, id)
		}
	}
	in.order = kept
}
