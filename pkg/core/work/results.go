package work

import "clockwork/pkg/protocol"

// answer gives an action's one result. A nil refusal is OK.
func (w *Worker) answer(o *Order, refusal *protocol.Error) {
	r := w.result(o, refusal)
	w.give(o, &r)
}

// give outputs an order's result, remembers it for the case that the action arrives
// again, and releases what the order holds.
func (w *Worker) give(o *Order, r *protocol.Result) {
	w.inFlight--
	o.over = true
	w.release(o)
	w.answered.put(o.key(), r)
	w.out.Results, w.out.Ended = append(w.out.Results, *r), append(w.out.Ended, o)
}

// describe answers GetWorkerState. The result is not remembered: a repeated action gets
// the state at that time.
func (w *Worker) describe(o *Order) {
	o.Begin = w.now
	r := w.result(o, nil)
	r.State = w.state(o.Action.Lean)
	w.inFlight--
	w.answered.forget(o.key())
	w.out.Again = append(w.out.Again, r)
}

// result returns an order's result, its times converted to the scheduler's clock if the
// action came from the scheduler. A nil refusal is OK.
func (w *Worker) result(o *Order, refusal *protocol.Error) protocol.Result {
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
	if o.Action.Epoch != 0 { // otherwise the issuer uses no clock offset
		for _, t := range []*protocol.Time{&r.Received, &r.Begin, &r.End, &r.Sent,
			&r.Input.Begin, &r.Input.End, &r.Exec.Begin, &r.Exec.End, &r.Output.Begin, &r.Output.End} {
			*t = w.offset.Remote(*t)
		}
	}
	if refusal != nil {
		r.Code, r.Message = refusal.Code, refusal.Message
	}
	if r.Code == protocol.StaleEpoch {
		r.Epoch = w.newestEpoch() // why it is refused: perhaps only the clock is of this one yet
	}
	return r
}

// release frees the model, the inputs and the driver's memory of an order. For an order
// that is being staged, staged does it later.
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

// actionKey identifies an action: ids are unique for one issuer.
type actionKey struct {
	issuer uint64
	id     protocol.ActionID
}

// answered remembers the results of the latest actions, so that an action that
// arrives twice is executed once and both arrivals get the same result (G8).
type answered struct {
	// places holds every action without a result, as atWork, and every remembered
	// action, as its index in ring.
	places map[actionKey]int
	// ring are the latest results, at most rememberedActions.
	ring []answer
	// next is the index of the oldest result once the ring is full, which the next
	// result replaces.
	next int
}

// answer is a remembered result.
type answer struct {
	key    actionKey
	result protocol.Result
}

// atWork is the place of an action that was accepted and has no result yet.
const atWork = -1

// rememberedActions bounds how many results are remembered. An action that arrives
// again after that many others is executed again, if its window allows.
const rememberedActions = 8192

func newAnswered() answered { return answered{places: map[actionKey]int{}} }

// begin reports whether an action is new, and records it if so. For an action that
// arrived before, it returns the result, nil if there is none yet. The result is valid
// until the next put.
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

// put remembers an action's result; if the ring is full, it replaces the oldest.
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

// forget makes an action new again.
func (m *answered) forget(k actionKey) { delete(m.places, k) }
