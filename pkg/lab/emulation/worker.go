package emulation

import (
	"time"

	"clockwork/pkg/protocol"
)

// Worker is one worker. Between two lives it keeps its place and its GPUs.
type Worker struct {
	ID          string
	Incarnation uint64
	GPUs        []*GPU

	world World
	epoch uint64 // the highest it obeyed
	life  uint32 // grows with each end of what was under way
}

// World is what surrounds a worker.
type World interface {
	// Now is the time on the worker's clock.
	Now() protocol.Time
	// Begins says that an order begins now; it returns how long it takes.
	Begins(o *Order) time.Duration
	// EndIn asks for a call of End so much later, WakeIn for one of Wake.
	EndIn(d time.Duration, o *Order)
	WakeIn(d time.Duration, g *GPU, lane int)
	// Done has an order's result, once for each Order and life.
	Done(o *Order)
	// Again has it for an action that came once more.
	Again(o *Order)
}

// NewWorker makes a worker without GPUs.
func NewWorker(id string, incarnation uint64, world World) *Worker {
	return &Worker{ID: id, Incarnation: incarnation, world: world}
}

// World is what it was made in.
func (w *Worker) World() World { return w.world }

// Epoch is the highest epoch it obeyed.
func (w *Worker) Epoch() uint64 { return w.epoch }

// Receive has an action at the worker. What comes again is not done again: it
// is answered as before, or not yet.
func (w *Worker) Receive(o *Order) {
	if o.here && o.life == w.life {
		if o.Code != "" {
			w.world.Again(o)
		}
		return
	}
	if o.here { // it has forgotten the life in which it came first
		twin := *o
		o = &twin
		o.Code, o.Begin, o.End = "", 0, 0
	}
	o.here, o.life, o.Received = true, w.life, w.world.Now()
	if code := w.check(o); code != "" {
		w.finish(o, code)
		return
	}
	o.GPU = w.GPUs[o.Action.GPU]
	o.GPU.queue(o)
}

// check says what is wrong with an action, "" for nothing.
func (w *Worker) check(o *Order) protocol.Code {
	a := &o.Action
	switch {
	case a.Incarnation != 0 && a.Incarnation != w.Incarnation:
		return protocol.StaleIncarnation
	case a.Epoch < w.epoch:
		return protocol.StaleEpoch
	}
	w.epoch = a.Epoch
	switch {
	case o.Latest < o.Received:
		return protocol.TooLate
	case a.GPU < 0 || a.GPU >= len(w.GPUs):
		return protocol.InvalidGPU
	case o.Model == nil:
		return protocol.UnknownModel
	case a.Kind == protocol.Infer && !o.Model.Runs(a.Batch):
		return protocol.InvalidBatch
	}
	return ""
}

// Stage has the input of one member of an order. It may come before the action,
// and more than once.
func (w *Worker) Stage(o *Order, member int) {
	bit := uint64(1) << member
	if o.staged&bit != 0 {
		return
	}
	o.staged |= bit
	o.missing--
	if o.missing == 0 && o.GPU != nil && !w.void(o) {
		o.GPU.ready(o)
	}
}

// End says that an order's time on its GPU is over.
func (w *Worker) End(o *Order) {
	if !w.void(o) {
		o.GPU.end(o)
	}
}

// Drop makes everything under way void, as far as the worker is asked about it:
// what was being copied is there, what was being evicted is gone.
func (w *Worker) Drop() {
	w.life++
	for _, g := range w.GPUs {
		g.drop()
	}
}

// Restart begins a life that remembers nothing and whose GPUs are empty.
func (w *Worker) Restart(incarnation uint64) {
	w.Drop()
	w.Incarnation, w.epoch = incarnation, 0
	for _, g := range w.GPUs {
		g.empty()
	}
}

// State describes the worker; the models in host memory are the caller's to add.
func (w *Worker) State() protocol.WorkerState {
	state := protocol.WorkerState{ID: w.ID, Incarnation: w.Incarnation, Epoch: w.epoch, GenerateInputs: true}
	for _, g := range w.GPUs {
		state.GPUs = append(state.GPUs, g.state())
	}
	return state
}

func (w *Worker) void(o *Order) bool { return o.life != w.life }

func (w *Worker) finish(o *Order, code protocol.Code) {
	o.Code, o.Epoch, o.Incarnation, o.Sent = code, w.epoch, w.Incarnation, w.world.Now()
	w.world.Done(o)
}

// Orders is how many orders it has that are not done.
func (w *Worker) Orders() (n int) {
	for _, g := range w.GPUs {
		for i := range g.lanes {
			n += len(g.lanes[i].orders)
		}
	}
	return n
}
