package worker

import (
	"slices"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/executor"
	"clockwork/pkg/protocol"
)

// beginTransfer puts a LoadWeights or EvictWeights into its lane. The caller
// holds the lock, here and below unless it says otherwise.
func (a *agent) beginTransfer(o *order) *protocol.Error {
	if refused := a.target(o); refused != nil {
		return refused
	}
	if o.gpu.transfers.Len() >= a.config.MaxQueued {
		return protocol.Errorf(protocol.NoMemory, "%d transfers wait already", o.gpu.transfers.Len())
	}
	o.gpu.queueTransfer(o)
	return nil
}

func (g *gpu) queueTransfer(o *order) {
	g.orders[o.task] = o
	g.step(&g.transfers, executor.Arrived{Task: executor.Task{ID: o.task, Earliest: o.earliest, Latest: o.latest}, Ready: true})
}

// admitTransfer asks the ledger and hands the order to the device.
func (g *gpu) admitTransfer(o *order) *protocol.Error {
	var refused *protocol.Error
	switch {
	case o.part != nil:
		refused = g.admitClear(o)
	case o.action.Kind == protocol.LoadWeights:
		o.frames, refused = g.pages.Begin(o.action.Model, o.model.spec.Pages)
	default:
		if refused = g.pages.Evict(o.action.Model); refused == nil {
			o.weights = g.weights[o.action.Model]
		}
	}
	if refused != nil {
		return refused
	}
	g.transfer <- o
	return nil
}

// move copies or drops weights. The caller is the transfer goroutine, without
// the lock.
func (g *gpu) move(o *order) {
	a := g.agent
	o.begin = clock.Now()
	var err error
	switch {
	case o.part != nil:
		err = g.drop(o)
	case o.action.Kind == protocol.LoadWeights:
		o.weights, err = g.device.LoadWeights(o.model.shared.Model, o.frames)
	default:
		err = o.weights.Evict()
	}
	o.finished()
	a.mu.Lock()
	defer a.unlock()
	if o.part == nil {
		g.account(o, err == nil)
	}
	delete(g.orders, o.task)
	a.settle(o, refusal(err))
	g.step(&g.transfers, executor.Ended{})
}

// account writes down how a transfer ended.
func (g *gpu) account(o *order, done bool) {
	model := o.action.Model
	switch load := o.action.Kind == protocol.LoadWeights; {
	case load && done:
		g.pages.Commit(model)
		g.weights[model] = o.weights
	case load:
		g.pages.Abort(model)
	case done:
		g.pages.Free(model)
		delete(g.weights, model)
	default:
		g.pages.Keep(model)
	}
}

// clearing is a ClearCache that several GPUs work on.
type clearing struct {
	order *order
	left  int
	// refused is why one of them could not.
	refused *protocol.Error
}

// beginClear gives every GPU concerned its part of a ClearCache: with models,
// their weights; without, all weights.
func (a *agent) beginClear(o *order) *protocol.Error {
	gpus := a.gpus
	if n := o.action.GPU; n >= len(a.gpus) || n < -1 {
		return protocol.Errorf(protocol.InvalidGPU, "no GPU %d; this worker has %d", n, len(a.gpus))
	} else if n >= 0 {
		gpus = a.gpus[n : n+1]
	}
	if len(o.action.Models) > 0 && o.action.GPU >= 0 {
		return protocol.Errorf(protocol.InvalidAction, "models leave host memory on all GPUs (-1), not on GPU %d alone", o.action.GPU)
	}
	part := &clearing{order: o, left: len(gpus)}
	for _, g := range gpus {
		a.lastTask++
		g.queueTransfer(&order{action: o.action, task: a.lastTask, gpu: g, part: part,
			received: o.received, earliest: o.earliest, latest: o.latest})
	}
	return nil
}

// victims returns the models whose weights a ClearCache drops from a GPU.
func (g *gpu) victims(o *order) []string {
	return slices.DeleteFunc(g.pages.Loaded(), func(name string) bool {
		return len(o.action.Models) > 0 && !slices.Contains(o.action.Models, name)
	})
}

// admitClear takes all victims, or none when one is in use.
func (g *gpu) admitClear(o *order) *protocol.Error {
	victims := g.victims(o)
	for i, name := range victims {
		if refused := g.pages.Evict(name); refused != nil {
			for _, taken := range victims[:i] {
				g.pages.Keep(taken)
			}
			return refused
		}
	}
	o.part.order.begin = clock.Now()
	o.dropping = victims
	return nil
}

// drop evicts what a ClearCache took. The caller does not hold the lock.
func (g *gpu) drop(o *order) error {
	var first error
	for _, name := range o.dropping {
		g.agent.mu.Lock()
		weights := g.weights[name]
		g.agent.mu.Unlock()
		err := weights.Evict()
		g.agent.mu.Lock()
		if err != nil {
			g.pages.Keep(name)
			first = err
		} else {
			g.pages.Free(name)
			delete(g.weights, name)
		}
		g.agent.mu.Unlock()
	}
	return first
}

// cleared takes a GPU's word on its part; the last one ends the ClearCache.
func (a *agent) cleared(o *order, refused *protocol.Error) {
	part := o.part
	if refused != nil && part.refused == nil {
		part.refused = refused
	}
	if part.left--; part.left > 0 {
		return
	}
	whole := part.order
	if part.refused == nil {
		part.refused = a.forget(whole.action.Models)
	}
	if whole.begin != 0 { // else it was refused before any GPU began
		whole.finished()
	}
	a.answer(whole, part.refused)
}

// forget removes models from host memory; unknown ones are gone already.
func (a *agent) forget(names []string) *protocol.Error {
	for _, name := range names {
		m := a.library[name]
		if m == nil {
			continue
		}
		if m.orders > 0 || a.resident(name) {
			return protocol.Errorf(protocol.WeightsInUse, "%s is needed by %d actions", name, m.orders)
		}
	}
	for _, name := range names {
		a.library.remove(name, a.bus.Log)
	}
	return nil
}

// resident reports whether a GPU has pages of a model.
func (a *agent) resident(name string) bool {
	return slices.ContainsFunc(a.gpus, func(g *gpu) bool { return g.weights[name] != nil })
}

// evictAll drops every model's weights at the end of the worker.
func (g *gpu) evictAll() {
	for name, weights := range g.weights {
		if err := weights.Evict(); err != nil {
			g.agent.bus.Log.Error("weights not dropped", "model", name, "error", err)
		}
		delete(g.weights, name)
	}
}
