package replay

import (
	"slices"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/emulation"
	"clockwork/pkg/protocol"
)

// worker is an emulated worker, and the emulation around it.
type worker struct {
	*emulation.Worker
	e    *rerun
	lost bool
	life int // grows when it is lost: what is on its way to or from it is void
}

// foreign stands for pages of what is no model of the epoch.
const foreign = ""

// maxGPUs and maxPages bound what a recording may claim.
const (
	maxGPUs  = 1 << 10
	maxPages = 1 << 16
)

// join has a worker come, or come back: then it holds what it held here,
// whatever it did in the recording.
func (e *rerun) join(state protocol.WorkerState) protocol.WorkerState {
	w := e.workers[state.ID]
	if w == nil || w.Incarnation != state.Incarnation {
		if w != nil {
			w.lose()
		}
		w = &worker{e: e}
		w.Worker = emulation.NewWorker(state.ID, state.Incarnation, w)
		e.workers[state.ID] = w
		byID := func(a, b protocol.GPUState) int { return a.ID - b.ID }
		for _, g := range slices.SortedFunc(slices.Values(state.GPUs), byID) {
			w.add(g)
		}
		return state
	}
	w.lost = false
	state.GPUs = slices.Clone(state.GPUs)
	for i := range state.GPUs {
		if shown := &state.GPUs[i]; shown.ID >= 0 && shown.ID < len(w.GPUs) {
			shown.Models, shown.PagesUsed = models(w.GPUs[shown.ID]), w.GPUs[shown.ID].Pages.Used()
		}
	}
	return state
}

// add takes a GPU over with what it holds; those of lower numbers that nobody
// speaks of have no pages.
func (w *worker) add(state protocol.GPUState) {
	if state.ID < len(w.GPUs) || state.ID > maxGPUs {
		return
	}
	for len(w.GPUs) < state.ID {
		w.AddGPU("", 0)
	}
	g := w.AddGPU(state.Type, min(max(0, state.PagesTotal), maxPages))
	for _, name := range state.Models {
		if m := w.e.models[name]; m != nil {
			g.Hold(name, m.Pages)
		}
	}
	if n := state.PagesUsed - g.Pages.Used(); n > 0 {
		g.Hold(foreign, n)
	}
}

// models are those whose weights a GPU holds.
func models(g *emulation.GPU) []string {
	return slices.DeleteFunc(g.Pages.Loaded(), func(name string) bool { return name == foreign })
}

// lose makes what a worker has under way void. What it was copying is there.
func (w *worker) lose() {
	w.lost = true
	w.life++
	w.Drop()
}

// unlessLost does something d from now if the worker was not lost meanwhile.
func (w *worker) unlessLost(d time.Duration, do func()) {
	life := w.life
	w.e.after(d, func() {
		if life == w.life {
			do()
		}
	})
}

// order sends an action to a worker. Its inputs come a while after it.
func (w *worker) order(a protocol.Action) {
	o := &emulation.Order{Worker: w.Worker, Action: a, Model: w.e.models[a.Model], Earliest: a.Earliest, Latest: a.Latest}
	staged := a.Kind == protocol.Infer && w.e.staging > 0
	if staged {
		o.Await(1)
	}
	w.unlessLost(w.e.there, func() {
		w.Receive(o)
		if staged {
			w.unlessLost(w.e.staging, func() { w.Stage(o, 0) })
		}
	})
}

// Now is the emulation's time.
func (w *worker) Now() protocol.Time { return w.e.now }

// Begins says how long an order takes by the recording.
func (w *worker) Begins(o *emulation.Order) time.Duration {
	key := size{o.Model.Digest, o.GPU.Type, 0}
	switch o.Action.Kind {
	case protocol.Infer:
		key.batch = o.Action.Batch
	case protocol.LoadWeights:
	default:
		return 0
	}
	return w.e.times.next(key)
}

// EndIn and WakeIn put into the calendar what a GPU waits for.
func (w *worker) EndIn(d time.Duration, o *emulation.Order) { w.e.after(d, func() { w.End(o) }) }

// WakeIn is of a lane.
func (w *worker) WakeIn(d time.Duration, g *emulation.GPU, lane int) {
	w.e.after(d, func() { g.Wake(lane) })
}

// Done sends an order's result to the scheduler.
func (w *worker) Done(o *emulation.Order) {
	r := &sched.Result{Result: o.Result()}
	w.unlessLost(w.e.back, func() { w.e.step(r) })
}

// Again is not called: nothing comes twice here.
func (w *worker) Again(*emulation.Order) {}
