package replay

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
)

// worker is a worker with emulated GPUs, and the rerun around it.
type worker struct {
	*virtual.Worker
	e    *rerun
	lost bool
	// connection grows when the worker is lost: what is on its way to or from it is void.
	connection int
	types      []string // of its GPUs
	// foreignPages are those of what was read last that is no model.
	foreignPages int
}

// foreign is the beginning of what stands for pages of no model of the epoch, by GPU.
const foreign = "pages-of-no-model-of-this-epoch-"

// maxGPUs and maxPages bound what a recording may claim.
const (
	maxGPUs  = 1 << 10
	maxPages = 1 << 16
)

// join has a worker come, or come back: then it holds what it held here,
// whatever it did in the recording.
func (e *rerun) join(state protocol.WorkerState) protocol.WorkerState {
	w := e.workers[state.ID]
	if w == nil || w.Incarnation() != state.Incarnation {
		if w != nil {
			w.lose()
		}
		e.workers[state.ID] = e.newWorker(state)
		return state
	}
	w.lost = false
	state.GPUs = slices.Clone(state.GPUs)
	for i := range state.GPUs {
		if shown := &state.GPUs[i]; shown.ID >= 0 && shown.ID < len(w.GPUs) {
			shown.Models, shown.Moving = models(w.Core, shown.ID), w.Core.State().GPUs[shown.ID].Moving
			shown.PagesUsed, _ = w.Core.Pages(shown.ID)
		}
	}
	return state
}

// newWorker makes a worker with the GPUs of a state, which hold what it says; those of
// lower numbers that nobody speaks of have no pages.
func (e *rerun) newWorker(state protocol.WorkerState) *worker {
	byID := func(a, b protocol.GPUState) int { return a.ID - b.ID }
	states := slices.SortedStableFunc(slices.Values(state.GPUs), byID)
	config := work.Defaults()
	config.Name, config.Incarnation, config.GenerateInputs = state.ID, state.Incarnation, true
	config.MaxModels = len(e.models) + maxGPUs
	var shown []protocol.GPUState
	for _, g := range states {
		if g.ID < len(config.GPUs) || g.ID > maxGPUs {
			continue
		}
		for len(config.GPUs) < g.ID {
			config.GPUs = append(config.GPUs, work.GPU{})
		}
		config.GPUs = append(config.GPUs, work.GPU{Type: g.Type, Pages: min(max(0, g.PagesTotal), maxPages)})
		shown = append(shown, g)
	}
	w := &worker{e: e}
	for _, g := range config.GPUs {
		w.types = append(w.types, g.Type)
	}
	w.Worker = virtual.New(config, w)
	for _, name := range slices.Sorted(maps.Keys(e.models)) {
		w.HoldInMemory(e.models[name].Path, name)
	}
	for _, g := range shown {
		w.hold(g)
	}
	return w
}

// hold puts onto a GPU what its state says.
func (w *worker) hold(state protocol.GPUState) {
	for _, name := range slices.Concat(state.Models, state.Moving) {
		w.HoldOnGPU(state.ID, name)
	}
	if used, _ := w.Core.Pages(state.ID); state.PagesUsed > used {
		w.foreignPages = state.PagesUsed - used
		name := foreign + strconv.Itoa(state.ID)
		w.HoldInMemory(name, name)
		w.HoldOnGPU(state.ID, name)
	}
}

// models are those whose weights a GPU holds.
func models(w *work.Worker, gpu int) []string {
	return slices.DeleteFunc(w.Resident(gpu), func(name string) bool { return strings.HasPrefix(name, foreign) })
}

// lose cuts a worker off. It goes on with what it has.
func (w *worker) lose() {
	w.lost = true
	w.connection++
}

// unlessLost does something d from now if the worker was not lost meanwhile.
func (w *worker) unlessLost(d time.Duration, do func()) {
	connection := w.connection
	w.e.after(d, func() {
		if connection == w.connection {
			do()
		}
	})
}

// order sends an action to a worker. Its inputs come a while after it.
func (w *worker) order(a protocol.Action) {
	a.Requests = slices.Clone(a.Requests)
	spec := w.e.models[a.Model]
	w.unlessLost(w.e.there, func() {
		w.Receive(a)
		w.unlessLost(w.e.staging, func() {
			for _, ref := range a.Requests {
				if !ref.Generated && spec != nil {
					w.Input(ref.ID, spec.ItemBytes()*int64(ref.Batch))
				}
			}
		})
	})
}

// Now is the rerun's time.
func (w *worker) Now() protocol.Time { return w.e.now }

// Begins says how long an order takes by the recording.
func (w *worker) Begins(o *work.Order, _ *virtual.GPU) time.Duration {
	key := size{o.Spec.Digest, w.types[o.GPU], 0}
	switch o.Action.Kind {
	case protocol.Infer:
		key.batch = o.Action.Batch
	case protocol.LoadWeights:
	default:
		return 0
	}
	return w.e.times.next(key)
}

// Reads is called while the worker is made: its models are in host memory already.
func (w *worker) Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	if strings.HasPrefix(load.Path, foreign) {
		return protocol.ModelSpec{Path: load.Path, Digest: load.Path, Pages: w.foreignPages}, 0, nil
	}
	return *w.e.models[load.Names[0]], 0, nil
}

// After, EndIn and WakeIn put into the calendar what the worker waits for.
func (w *worker) After(d time.Duration, do func()) { w.e.after(d, do) }

// EndIn is of a run.
func (w *worker) EndIn(d time.Duration, r *virtual.Run) { w.e.after(d, func() { w.End(r) }) }

// WakeIn is of the core.
func (w *worker) WakeIn(d time.Duration, _ *virtual.Worker, turn uint64) {
	w.e.after(d, func() { w.Wake(turn) })
}

// Delivers is of no interest: the scheduler sees no outputs.
func (w *worker) Delivers(*work.Order) {}

// Answers sends a result to the scheduler.
func (w *worker) Answers(r *protocol.Result, _ *work.Order) {
	result := &sched.Result{Result: *r}
	result.Worker = w.ID()
	w.unlessLost(w.e.back, func() { w.e.step(result) })
}
