package work

import "clockwork/pkg/protocol"

// answer gives an action's one result. A nil refusal is OK.
func (w *Worker) answer(o *Order, refused *protocol.Error) {
	r := w.result(o, refused)
	w.give(o, &r)
}

// give gives an order's result out and remembers it.
func (w *Worker) give(o *Order, r *protocol.Result) {
	w.inFlight--
	o.over = true
	w.release(o)
	w.answered.put(o.key(), r)
	w.out.Results, w.out.Ended = append(w.out.Results, *r), append(w.out.Ended, o)
}

// describe answers GetWorkerState. The answer is not remembered: asked again, the
// worker describes itself anew.
func (w *Worker) describe(o *Order) {
	o.Begin = w.now
	r := w.result(o, nil)
	r.State = w.State()
	w.inFlight--
	w.answered.forget(o.key())
	w.out.Again = append(w.out.Again, r)
}

// result describes how an action ended, in the scheduler's time.
func (w *Worker) result(o *Order, refused *protocol.Error) protocol.Result {
	r := protocol.Result{
		Action:      o.Action.ID,
		Issuer:      o.Action.Issuer,
		Epoch:       w.epoch,
		Incarnation: w.config.Incarnation,
		Kind:        o.Action.Kind,
		Code:        protocol.OK,
		GPU:         o.Action.GPU,
		Model:       o.Action.Model,
		Batch:       o.Action.Batch,
		Received:    o.Received,
		Begin:       o.Begin,
		End:         o.End,
		Sent:        w.now,
		Input:       o.Input,
		Exec:        o.Exec,
		Output:      o.Output,
	}
	if o.Action.Epoch != 0 { // else its issuer asked for no clock
		for _, t := range []*protocol.Time{&r.Received, &r.Begin, &r.End, &r.Sent,
			&r.Input.Begin, &r.Input.End, &r.Exec.Begin, &r.Exec.End, &r.Output.Begin, &r.Output.End} {
			*t = w.offset.Remote(*t)
		}
	}
	if refused != nil {
		r.Code, r.Message = refused.Code, refused.Message
	}
	return r
}

// release lets go of what an action held; while it is being staged, that waits until
// it was.
func (w *Worker) release(o *Order) {
	if o.staging {
		return
	}
	if o.model != nil {
		o.model.orders--
	}
	w.inputs.release(o)
	if o.Action.Kind == protocol.Infer {
		w.out.Release = append(w.out.Release, o)
	}
}

// actionKey names an action among all issuers'.
type actionKey struct {
	issuer uint64
	id     protocol.ActionID
}

// answered remembers the results of the latest actions, so that an action that
// arrives twice is executed once and answered the same (G8).
type answered struct {
	places map[actionKey]int // of an action in the ring, atWork before it has a result
	ring   []answer
	next   int // where the next result goes once the ring is full
}

type answer struct {
	key    actionKey
	result protocol.Result
}

const atWork = -1

// rememberedActions bounds how many results are remembered.
const rememberedActions = 8192

func newAnswered() answered { return answered{places: map[actionKey]int{}} }

// begin reports whether an action is new; if not, its result if there is one, which
// is good until the next put.
func (m *answered) begin(k actionKey) (fresh bool, result *protocol.Result) {
	place, known := m.places[k]
	switch {
	case !known:
		m.places[k] = atWork
		return true, nil
	case place == atWork:
		return false, nil
	}
	return false, &m.ring[place].result
}

// put remembers an action's result, in the place of the oldest if need be.
func (m *answered) put(k actionKey, r *protocol.Result) {
	if len(m.ring) < rememberedActions {
		m.places[k] = len(m.ring)
		m.ring = append(m.ring, answer{k, *r})
		return
	}
	oldest := &m.ring[m.next]
	delete(m.places, oldest.key)
	m.places[k] = m.next
	*oldest = answer{k, *r}
	m.next = (m.next + 1) % rememberedActions
}

// forget lets an action be asked anew.
func (m *answered) forget(k actionKey) { delete(m.places, k) }
