package work

import (
	"slices"

	"clockwork/pkg/core/lane"
	"clockwork/pkg/protocol"
)

// beginTransfer puts a LoadWeights or EvictWeights into its GPU's transfer lane.
func (w *Worker) beginTransfer(o *Order) *protocol.Error {
	if refusal := w.target(o); refusal != nil {
		return refusal
	}
	if n := o.gpu.transfers.Len(); n >= w.config.MaxQueued {
		return protocol.Errorf(protocol.NoMemory, "%d transfers wait already", n)
	}
	o.gpu.queue(&o.gpu.transfers, o, true)
	return nil
}

// startTransfer changes the pages for a transfer and outputs the order, or returns why
// the pages do not allow the transfer. A transfer that an earlier epoch sent does not begin:
// the present scheduler mirrors the pages as they were when its epoch was seen first.
func (g *gpu) startTransfer(o *Order) *protocol.Error {
	var refusal *protocol.Error
	switch {
	case g.worker.outdated(&o.Action):
		refusal = g.worker.staleEpoch(&o.Action)
	case o.part != nil:
		refusal = g.startClear(o)
	case o.Action.Kind == protocol.LoadWeights:
		o.Frames, refusal = g.pages.Begin(o.Action.Model, o.Spec.Pages)
	default:
		refusal = g.pages.Evict(o.Action.Model)
	}
	if refusal == nil {
		g.begun(o)
		g.worker.out.Transfer = append(g.worker.out.Transfer, o)
	}
	return refusal
}

// transferred settles the pages of a transfer that ended, answers the order, and lets
// the lane start the next one.
func (w *Worker) transferred(e *Transferred) {
	o, g := e.Order, e.Order.gpu
	o.Begin, o.End = e.Begin, e.End
	refusal := e.Refusal
	g.lostWith(o, refusal)
	o.Exec = protocol.Phase{Begin: e.Begin, End: e.End, Device: e.End.Sub(e.Begin)}
	if o.part != nil {
		for _, name := range o.Dropping {
			if slices.Contains(e.Kept, name) {
				g.pages.Keep(name)
			} else {
				g.pages.Free(name)
			}
		}
	} else {
		refusal = g.account(o, refusal)
	}
	delete(g.orders, o.Number)
	w.settle(o, refusal)
	g.step(&g.transfers, lane.Ended{})
}

// account settles the pages of a LoadWeights or EvictWeights, and returns the order's
// refusal. A failed load leaves its frames free, a failed eviction leaves the weights
// loaded. If the executor was lost meanwhile, no weights are left: a load fails, and an
// eviction succeeds.
func (g *gpu) account(o *Order, refusal *protocol.Error) *protocol.Error {
	model, lost := o.Action.Model, o.executor != g.executor
	switch load := o.Action.Kind == protocol.LoadWeights; {
	case load && refusal == nil:
		if !g.pages.Commit(model) {
			return protocol.Refusal(protocol.ExecutorLost)
		}
	case load:
		g.pages.Abort(model)
	case refusal == nil || lost:
		g.pages.Free(model)
		return nil
	default:
		g.pages.Keep(model)
	}
	return refusal
}

// clearing is a ClearCache, of which each GPU carries out a part in its transfer lane.
type clearing struct {
	// order is the whole ClearCache, which is in no lane.
	order *Order
	// left counts the parts that have not ended; at 0 the order is answered.
	left int
	// first is the first failure of a part, nil if none failed. It is the result of the
	// whole.
	first *protocol.Error
}

// beginClear queues the parts of a ClearCache. With models it drops their weights from
// all GPUs, and then the models from host memory. Without models it drops all weights
// from one GPU, or from all (GPU -1), and keeps host memory.
func (w *Worker) beginClear(o *Order) *protocol.Error {
	gpus := w.gpus
	if n := o.Action.GPU; n >= len(w.gpus) || n < -1 {
		return protocol.Errorf(protocol.InvalidGPU, "no GPU %d; this worker has %d", n, len(w.gpus))
	} else if n >= 0 {
		gpus = w.gpus[n : n+1]
	}
	if len(o.Action.Models) > 0 && o.Action.GPU >= 0 {
		return protocol.Errorf(protocol.InvalidAction, "ClearCache with models needs GPU -1 (all), got %d", o.Action.GPU)
	}
	for _, g := range gpus {
		if n := g.transfers.Len(); n >= w.config.MaxQueued {
			return protocol.Errorf(protocol.NoMemory, "%d transfers wait already for GPU %d", n, g.index)
		}
	}
	part := &clearing{order: o, left: len(gpus)}
	for _, g := range gpus {
		w.lastTask++
		g.queue(&g.transfers, &Order{Number: w.lastTask, Action: o.Action, GPU: g.index, gpu: g, part: part,
			Received: o.Received, Earliest: o.Earliest, Latest: o.Latest}, true)
	}
	return nil
}

// leaving returns the models that are removed from host memory once a ClearCache ends that is
// accepted and still obeyed; nil for none.
func (w *Worker) leaving() (leaving map[string]bool) {
	for _, g := range w.gpus {
		for _, o := range g.orders { // map order does not matter: they make a set
			if o.part == nil || !w.terms.Obeyed(o.Action.Leader) {
				continue
			}
			if leaving == nil {
				leaving = map[string]bool{}
			}
			for _, name := range o.Action.Models {
				leaving[name] = true
			}
		}
	}
	return leaving
}

// startClear begins the eviction of all weights that a ClearCache drops from a GPU, or
// of none if one of them is in use.
func (g *gpu) startClear(o *Order) *protocol.Error {
	victims := slices.DeleteFunc(g.pages.Loaded(), func(name string) bool {
		return len(o.Action.Models) > 0 && !slices.Contains(o.Action.Models, name)
	})
	for i, name := range victims {
		if refusal := g.pages.Evict(name); refusal != nil {
			for _, taken := range victims[:i] {
				g.pages.Keep(taken)
			}
			return refusal
		}
	}
	o.Dropping = victims
	if whole := o.part.order; whole.Begin == 0 {
		whole.Begin = g.worker.now
	}
	return nil
}

// cleared ends a GPU's part of a ClearCache; the last part answers the whole.
func (w *Worker) cleared(o *Order, refusal *protocol.Error) {
	part := o.part
	if refusal != nil && part.first == nil {
		part.first = refusal
	}
	if part.left--; part.left > 0 {
		return
	}
	whole := part.order
	if part.first == nil && len(whole.Action.Models) > 0 {
		part.first = w.stale(&whole.Action)
	}
	if part.first == nil {
		part.first = w.forget(whole.Action.Models)
	}
	if whole.Begin != 0 { // 0: refused before any GPU began
		whole.End = max(w.now, whole.Begin)
		whole.Exec = protocol.Phase{Begin: whole.Begin, End: whole.End, Device: whole.End.Sub(whole.Begin)}
	}
	w.answer(whole, part.first)
	w.giveReaders()
}
