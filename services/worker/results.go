package worker

import (
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// maxResults bounds how many results are sent in one message.
const maxResults = 1024

// largeResult is where results count as a payload: a state with thousands of
// models.
const largeResult = 256 << 10

// sendResults publishes results, those for one issuer together as far as they
// stand together; the batch calls it.
func (a *agent) sendResults(results []protocol.Result) {
	for len(results) > 0 {
		n := 1
		for n < len(results) && !large(&results[0]) && !large(&results[n]) && results[n].Issuer == results[0].Issuer {
			n++
		}
		a.publishResults(protocol.ResultBatch{Issuer: results[0].Issuer, Results: results[:n]})
		results = results[n:]
	}
}

// large tells results that can fill a message alone.
func large(r *protocol.Result) bool { return r.State != nil || r.Loaded != nil }

func (a *agent) publishResults(batch protocol.ResultBatch) {
	body := wire.Borrow()
	defer wire.GiveBack(body)
	*body = wire.Results.Append(*body, &batch)
	nc := a.bus.Control
	if len(*body) > largeResult {
		nc = a.bus.Payload
	}
	if err := nc.Publish(a.bus.Subjects.Result(a.config.Name), *body); err != nil {
		a.bus.Log.Warn("results not sent", "count", len(batch.Results), "error", err) // the issuer's timers end them
	}
}

// answer gives an action's one result. A nil refusal is OK. The caller holds
// the lock.
func (a *agent) answer(o *order, refused *protocol.Error) {
	a.give(o, a.result(o, refused))
}

// give sends an order's result and remembers it.
func (a *agent) give(o *order, r protocol.Result) {
	a.inFlight--
	a.release(o)
	a.answered.put(actionKey{r.Issuer, r.Action}, &r)
	a.tell(&r)
	a.results.Add(r)
}

// result describes how an action ended, in the scheduler's time.
func (a *agent) result(o *order, refused *protocol.Error) protocol.Result {
	remote := a.offset.Remote
	if o.action.Epoch == 0 { // its issuer asked for no clock
		remote = func(t protocol.Time) protocol.Time { return t }
	}
	phase := func(p protocol.Phase) protocol.Phase {
		return protocol.Phase{Begin: remote(p.Begin), End: remote(p.End), Device: p.Device}
	}
	r := protocol.Result{
		Action:      o.action.ID,
		Issuer:      o.action.Issuer,
		Epoch:       a.epoch,
		Incarnation: a.incarnation,
		Kind:        o.action.Kind,
		Code:        protocol.OK,
		GPU:         o.action.GPU,
		Model:       o.action.Model,
		Batch:       o.action.Batch,
		Received:    remote(o.received),
		Begin:       remote(o.begin),
		End:         remote(o.end),
		Sent:        remote(clock.Now()),
		Input:       phase(o.input),
		Exec:        phase(o.exec),
		Output:      phase(o.output),
	}
	if refused != nil {
		r.Code, r.Message = refused.Code, refused.Message
	}
	return r
}

// release lets go of what an action held; while it is being staged, that waits
// until it was.
func (a *agent) release(o *order) {
	if o.staging {
		return
	}
	if o.model != nil {
		o.model.orders--
	}
	a.inputs.release(o)
	if o.run != nil {
		o.run.Release()
		o.run = nil
	}
}

// actionKey names an action among all issuers'.
type actionKey struct {
	issuer uint64
	id     protocol.ActionID
}

// answered remembers the results of the latest actions, so that an action that
// arrives twice is executed once and answered the same.
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

func newAnswered() *answered {
	return &answered{places: map[actionKey]int{}}
}

// begin reports whether an action is new; if not, its result if there is one,
// which is good until the next put.
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
