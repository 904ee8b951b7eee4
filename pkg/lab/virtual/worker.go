package virtual

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// World is what surrounds a worker.
type World interface {
	// Now is the time on the worker's clock.
	Now() protocol.Time
	// Begins says that an order begins now; it returns how long it takes.
	Begins(o *work.Order, on *GPU) time.Duration
	// Reads is what a load reads from disk, and how long that takes, or why not.
	Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error)
	// After asks for a call of do so much later, EndIn for one of End, WakeIn for one
	// of Wake, each on this worker.
	After(d time.Duration, do func())
	EndIn(d time.Duration, r *Run)
	WakeIn(d time.Duration, w *Worker)
	// Delivers has the outputs of an Infer that went well; its result came before.
	Delivers(o *work.Order)
	// Answers has a result, with the order that it ends; of a result that was given
	// before, and of a state, there is none.
	Answers(r *protocol.Result, o *work.Order)
}

// Worker is one worker. Between two incarnations it keeps its place and its GPUs.
type Worker struct {
	Core *work.Worker
	GPUs []*GPU

	config   work.Config
	world    World
	wake     protocol.Time
	received work.Received
	input    work.Input
	staged   work.Staged
	staging  []*work.Order
	setUp    bool // what happens now takes no time, and nobody asked for it
	setUps   protocol.ActionID
}

// GPU is one emulated GPU.
type GPU struct {
	Worker *Worker
	ID     int
	// Slow is how many times longer than usual everything takes that begins now;
	// nothing ends before Hung.
	Slow float64
	Hung protocol.Time
}

// Run is an order that a GPU executes or transfers.
type Run struct {
	Order *work.Order
	GPU   *GPU
	// Started is when it began, on the worker's clock.
	Started protocol.Time

	core *work.Worker // that began it; void once another incarnation has begun
}

// New makes a worker whose GPUs are empty.
func New(config work.Config, world World) *Worker {
	w := &Worker{config: config, world: world}
	for i := range config.GPUs {
		w.GPUs = append(w.GPUs, &GPU{Worker: w, ID: i, Slow: 1})
	}
	w.Restart(config.Incarnation)
	return w
}

// World is what it was made in.
func (w *Worker) World() World { return w.world }

// ID is the worker's name, Incarnation its present start.
func (w *Worker) ID() string { return w.config.Name }

// Incarnation is the present start of the worker.
func (w *Worker) Incarnation() uint64 { return w.config.Incarnation }

// String names the GPU for a person.
func (g *GPU) String() string { return fmt.Sprintf("%s gpu %d", g.Worker.config.Name, g.ID) }

// Restart begins an incarnation that remembers nothing and whose GPUs are empty;
// what ran is void.
func (w *Worker) Restart(incarnation uint64) {
	w.config.Incarnation = incarnation
	w.Core, w.wake = work.New(w.config), protocol.Never
}

// Receive has an action at the worker.
func (w *Worker) Receive(a protocol.Action) {
	a.Requests = slices.Clone(a.Requests) // whoever sent it uses its memory again
	w.received.Action = a
	w.Step(&w.received)
}

// Input has the payload of one request at the worker.
func (w *Worker) Input(id protocol.RequestID, bytes int64) {
	w.input = work.Input{ID: id, Bytes: bytes}
	w.Step(&w.input)
}

// Wake says that the time has come that the core asked for.
func (w *Worker) Wake() {
	w.wake = protocol.Never
	w.Step(&work.Tick{})
}

// End says that a run's time on its GPU is over, unless the GPU hangs.
func (w *Worker) End(r *Run) {
	if r.core != w.Core {
		return
	}
	now := w.world.Now()
	if r.GPU.Hung > now {
		w.world.EndIn(r.GPU.Hung.Sub(now), r)
		return
	}
	w.ended(r, now)
}

func (w *Worker) ended(r *Run, now protocol.Time) {
	if r.Order.Action.Kind == protocol.Infer {
		phase := protocol.Phase{Begin: r.Started, End: now, Device: now.Sub(r.Started)}
		w.Step(&work.Executed{Order: r.Order, Phase: phase, Begin: r.Started, End: now, Fetched: true})
		return
	}
	w.Step(&work.Transferred{Order: r.Order, Begin: r.Started, End: now})
}

// Step gives the core one event and carries out what it decided.
func (w *Worker) Step(e work.Event) {
	w.carryOut(w.Core.Step(w.world.Now(), e))
	for len(w.staging) > 0 {
		w.staged.Order = w.staging[0]
		w.staging = slices.Delete(w.staging, 0, 1)
		w.carryOut(w.Core.Step(w.world.Now(), &w.staged))
	}
}

// carryOut does what the core wants done. Runs that begin come last: in a set-up they
// end at once, by a step that uses the output again.
func (w *Worker) carryOut(out *work.Output) {
	w.staging = append(w.staging, out.Stage...)
	for _, o := range out.Read {
		w.read(o)
	}
	if !w.setUp {
		for i := range out.Results {
			w.world.Answers(&out.Results[i], out.Ended[i])
		}
		for i := range out.Again {
			w.world.Answers(&out.Again[i], nil)
		}
	}
	for _, o := range out.Deliver {
		w.world.Delivers(o)
	}
	if out.Wake < w.wake {
		w.wake = out.Wake
		w.world.WakeIn(max(0, out.Wake.Sub(w.world.Now())), w)
	}
	if len(out.Execute)+len(out.Transfer) > 0 {
		for _, o := range slices.Concat(out.Execute, out.Transfer) {
			w.begin(o)
		}
	}
}

// begin has an order take its time.
func (w *Worker) begin(o *work.Order) {
	g, now := w.GPUs[o.GPU()], w.world.Now()
	r := &Run{Order: o, GPU: g, Started: now, core: w.Core}
	if w.setUp {
		w.ended(r, now)
		return
	}
	if o.Action.Kind == protocol.ClearCache {
		w.world.After(0, func() { w.End(r) })
		return
	}
	takes := time.Duration(float64(w.world.Begins(o, g)) * g.Slow)
	w.world.EndIn(takes+max(0, g.Hung.Sub(now)), r)
}

// read has a model read from disk.
func (w *Worker) read(o *work.Order) {
	core, begin := w.Core, w.world.Now()
	spec, takes, refused := w.world.Reads(o.Action.Load)
	done := func() {
		if core == w.Core {
			w.Step(&work.ModelRead{Order: o, Refused: refused, Begin: begin, End: w.world.Now(), Spec: spec, Handle: spec.Digest})
		}
	}
	if w.setUp {
		done()
		return
	}
	w.world.After(takes, done)
}

// setUpIssuer is of actions that nobody sent.
const setUpIssuer = ^uint64(0)

// HoldInMemory puts copies of a model into host memory before anything happens.
func (w *Worker) HoldInMemory(path string, names ...string) {
	w.quietly(protocol.Action{Kind: protocol.LoadModelFromDisk, Load: &protocol.LoadSpec{Path: path, Names: names}})
}

// HoldOnGPU puts a model's weights onto a GPU, if there is room.
func (w *Worker) HoldOnGPU(gpu int, model string) {
	w.quietly(protocol.Action{Kind: protocol.LoadWeights, GPU: gpu, Model: model})
}

func (w *Worker) quietly(a protocol.Action) {
	w.setUps++
	a.ID, a.Issuer, a.Latest = w.setUps, setUpIssuer, protocol.Never
	w.setUp = true
	w.Receive(a)
	w.setUp = false
}
