package work

import (
	"slices"

	"clockwork/pkg/core/lane"
	"clockwork/pkg/protocol"
)

// beginInfer puts an Infer into its GPU's execution lane and stages it if its inputs are
// complete; otherwise the last input does that.
func (w *Worker) beginInfer(o *Order) *protocol.Error {
	if refusal := w.target(o); refusal != nil {
		return refusal
	}
	if refusal := w.checkBatch(o); refusal != nil {
		return refusal
	}
	if n := o.gpu.executions.Len(); n >= w.config.MaxQueued {
		return protocol.Errorf(protocol.NoMemory, "%d executions wait already", n)
	}
	w.inputs.claim(o)
	if o.missing == 0 {
		if refusal := o.checkInputs(); refusal != nil {
			return refusal
		}
	}
	o.gpu.queue(&o.gpu.executions, o, false)
	if o.missing == 0 {
		w.stage(o)
	}
	return nil
}

// checkBatch returns why an Infer's batch does not fit its requests, its model or the
// limits; nil if it does.
func (w *Worker) checkBatch(o *Order) *protocol.Error {
	a, spec := &o.Action, o.Spec
	if !spec.Runs(a.Batch) {
		return protocol.Errorf(protocol.InvalidBatch, "%s runs at batch sizes %v, not %d", a.Model, spec.BatchSizes, a.Batch)
	}
	left := a.Batch
	for i, r := range a.Requests {
		if r.Batch < 1 || r.Batch > left {
			return protocol.Errorf(protocol.InvalidBatch, "request %v has %d items, %d of batch %d are left", r.ID, r.Batch, left, a.Batch)
		}
		left -= r.Batch
		if slices.ContainsFunc(a.Requests[:i], func(before protocol.RequestRef) bool { return before.ID == r.ID }) {
			return protocol.Errorf(protocol.InvalidAction, "request %v is listed twice in the batch", r.ID)
		}
		if r.Generated && !w.config.GenerateInputs {
			return protocol.Errorf(protocol.InvalidInput, "request %v has no inputs, and this worker generates none (--generate-inputs)", r.ID)
		}
		if size := int64(r.Batch) * spec.OutputBytes(); size > w.config.MaxOutput {
			return protocol.Errorf(protocol.BackendError, "an output of %d bytes is larger than the broker carries", size)
		}
	}
	return nil
}

// stage outputs an Infer with complete inputs for the copy to the device, unless it
// expired meanwhile. It records which weights the Infer is for.
func (w *Worker) stage(o *Order) {
	if o.over || !o.gpu.executions.Has(o.Number) {
		return
	}
	o.version = o.gpu.pages.Version(o.Action.Model)
	o.staging = true
	w.out.Stage = append(w.out.Stage, o)
}

// staged makes an Infer ready to begin, or answers it if the copy failed.
func (w *Worker) staged(e *Staged) {
	o := e.Order
	o.staging, o.Input = false, e.Phase
	switch {
	case o.over: // it expired during the copy
		w.release(o)
	case e.Refusal != nil:
		o.gpu.withdraw(o, notBlamed(e.Refusal))
	default:
		o.gpu.step(&o.gpu.executions, lane.Ready{ID: o.Number})
	}
}

// startInfer registers the Infer as a user of its weights, so that no eviction begins
// before executed, and outputs it for execution.
func (g *gpu) startInfer(o *Order) *protocol.Error {
	version, refusal := g.pages.Use(o.Action.Model)
	if refusal != nil {
		return refusal
	}
	if o.version != 0 && o.version != version {
		g.pages.Done(o.Action.Model)
		return protocol.Errorf(protocol.WeightsChanged, "the weights of %s were replaced while it waited", o.Action.Model)
	}
	o.version = version
	g.begun(o)
	g.worker.busy++
	g.worker.out.Execute = append(g.worker.out.Execute, o)
	return nil
}

// executed ends an execution in its lane, which begins the next one. The order is
// answered unless its outputs are still to be fetched.
func (w *Worker) executed(e *Executed) {
	o, g := e.Order, e.Order.gpu
	o.Begin, o.End, o.Exec = e.Begin, e.End, e.Phase
	refusal := e.Refusal
	g.lostWith(o, refusal)
	if refusal == nil && o.executor == g.executor && g.pages.Version(o.Action.Model) != o.version {
		refusal = protocol.Refusal(protocol.WeightsChanged)
	}
	w.busy--
	g.pages.Done(o.Action.Model)
	delete(g.orders, o.Number)
	g.step(&g.executions, lane.Ended{})
	switch {
	case refusal != nil || len(o.Action.Requests) == 0:
		w.answer(o, refusal)
	case e.Fetched:
		o.Output = e.FetchedPhase
		w.deliver(o)
	default:
		w.out.Fetch = append(w.out.Fetch, o)
	}
}

// fetched answers an order whose outputs were copied back while its GPU executed others.
func (w *Worker) fetched(e *Fetched) {
	e.Order.Output = e.Phase
	if e.Refusal != nil {
		w.answer(e.Order, notBlamed(e.Refusal))
		return
	}
	w.deliver(e.Order)
}

// deliver outputs an order whose outputs go to the front doors, and answers it OK.
func (w *Worker) deliver(o *Order) {
	w.out.Deliver = append(w.out.Deliver, o)
	w.answer(o, nil)
}
