package worker

import (
	"slices"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// onAction takes actions from whoever may give them.
func (a *agent) onAction(m *nats.Msg) {
	received := clock.Now()
	actions, fault := wire.Actions.Decode(m.Data)
	if fault != nil {
		a.bus.Log.Warn("bad actions", "error", fault) // without an id there is nobody to answer
		return
	}
	a.mu.Lock()
	defer a.unlock()
	a.rouse(received)
	for _, action := range actions {
		a.take(action, received)
	}
}

// take begins an action or answers it. The caller holds the lock, as below.
func (a *agent) take(action protocol.Action, received protocol.Time) {
	fresh, known := a.answered.begin(actionKey{action.Issuer, action.ID})
	if !fresh {
		if known != nil {
			a.results.Add(*known)
		}
		return
	}
	a.inFlight++
	a.lastTask++
	o := &order{action: action, task: a.lastTask, received: received, earliest: action.Earliest, latest: action.Latest}
	if action.Epoch != 0 { // its issuer is the scheduler, whose clock these are
		o.earliest, o.latest = a.offset.Local(o.earliest), a.offset.Local(o.latest)
	}
	if refused := a.check(o); refused != nil {
		a.answer(o, refused)
		return
	}
	a.begin(o)
}

// check says what is wrong with an action whatever its kind.
func (a *agent) check(o *order) *protocol.Error {
	action := &o.action
	switch {
	case a.stopping:
		return protocol.Refusal(protocol.ShuttingDown)
	case action.Incarnation != 0 && action.Incarnation != a.incarnation:
		return protocol.Errorf(protocol.StaleIncarnation, "meant for life %d of %s, this is %d", action.Incarnation, a.config.Name, a.incarnation)
	case action.Epoch < a.epoch && (action.Epoch != 0 || action.Kind.OnGPU()):
		return protocol.Errorf(protocol.StaleEpoch, "sent in epoch %d, this worker obeys %d", action.Epoch, a.epoch)
	}
	a.epoch = max(a.epoch, action.Epoch)
	now := clock.Now()
	switch {
	case o.latest < o.earliest:
		return protocol.Errorf(protocol.InvalidAction, "its latest begin is %v before its earliest", o.earliest.Sub(o.latest))
	case o.latest < now:
		return protocol.Errorf(protocol.TooLate, "arrived %v after its latest begin", now.Sub(o.latest))
	case o.earliest > now.Add(a.config.Ahead):
		return protocol.Errorf(protocol.TooEarly, "begins in %v; actions are held for at most %v", o.earliest.Sub(now), a.config.Ahead)
	}
	return nil
}

// begin sends a checked action on its way.
func (a *agent) begin(o *order) {
	switch o.action.Kind {
	case protocol.Infer:
		a.orGiveUp(o, a.beginInfer(o))
	case protocol.LoadWeights, protocol.EvictWeights:
		a.orGiveUp(o, a.beginTransfer(o))
	case protocol.ClearCache:
		a.orGiveUp(o, a.beginClear(o))
	case protocol.LoadModelFromDisk:
		a.orGiveUp(o, a.beginLoad(o))
	case protocol.GetWorkerState:
		a.tellState(o)
	default:
		a.answer(o, protocol.Errorf(protocol.InvalidAction, "no action has the kind %d", o.action.Kind))
	}
}

func (a *agent) orGiveUp(o *order, refused *protocol.Error) {
	if refused != nil {
		a.answer(o, refused)
	}
}

// tellState answers GetWorkerState. The answer is not remembered: asked again,
// the worker describes itself anew.
func (a *agent) tellState(o *order) {
	o.begin = clock.Now()
	r := a.result(o, nil)
	r.State = a.state()
	a.inFlight--
	a.answered.forget(actionKey{r.Issuer, r.Action})
	a.results.Add(r)
}

// target finds the GPU and the model of an action that names both.
func (a *agent) target(o *order) *protocol.Error {
	if o.action.GPU < 0 || o.action.GPU >= len(a.gpus) {
		return protocol.Errorf(protocol.InvalidGPU, "no GPU %d; this worker has %d", o.action.GPU, len(a.gpus))
	}
	o.gpu = a.gpus[o.action.GPU]
	m := a.library[o.action.Model]
	if m == nil {
		return protocol.Errorf(protocol.UnknownModel, "%.80q is not in this worker's memory", o.action.Model)
	}
	o.model = m
	m.orders++
	return nil
}

func (a *agent) beginInfer(o *order) *protocol.Error {
	if refused := a.target(o); refused != nil {
		return refused
	}
	if refused := a.checkBatch(o); refused != nil {
		return refused
	}
	if o.gpu.executions.Len() >= a.config.MaxQueued {
		return protocol.Errorf(protocol.NoMemory, "%d executions wait already", o.gpu.executions.Len())
	}
	a.inputs.claim(o)
	o.gpu.arrive(o)
	return nil
}

// checkBatch compares the batch of an Infer with its members and its model.
func (a *agent) checkBatch(o *order) *protocol.Error {
	action, spec := &o.action, o.model.spec
	if !spec.Runs(action.Batch) {
		return protocol.Errorf(protocol.InvalidBatch, "%s runs at batch sizes %v, not %d", action.Model, spec.BatchSizes, action.Batch)
	}
	left := action.Batch
	for i, r := range action.Requests {
		if r.Batch < 1 || r.Batch > left {
			return protocol.Errorf(protocol.InvalidBatch, "request %v has %d items, %d of batch %d are left", r.ID, r.Batch, left, action.Batch)
		}
		left -= r.Batch
		if slices.ContainsFunc(action.Requests[:i], func(before protocol.RequestRef) bool { return before.ID == r.ID }) {
			return protocol.Errorf(protocol.InvalidAction, "request %v stands twice in the batch", r.ID)
		}
		if r.Generated && !a.config.GenerateInputs {
			return protocol.Errorf(protocol.InvalidInput, "request %v has no inputs, and this worker generates none (--generate-inputs)", r.ID)
		}
		if size := int64(r.Batch) * spec.OutputBytes(); size > a.outputs.limit() {
			return protocol.Errorf(protocol.BackendError, "an output of %d bytes is larger than the broker carries", size)
		}
	}
	return nil
}
