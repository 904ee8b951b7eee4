package virtual

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// World is the environment of a worker.
type World interface {
	// Now returns the time on the worker's clock.
	Now() protocol.Time
	// Begins is called when an order starts; it returns the order's duration.
	Begins(o *work.Order, on *GPU) time.Duration
	// Reads returns the model that a load reads from disk and the read's duration,
	// or an error.
	Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error)
	// After must call do after d. EndIn must call End, and WakeIn Wake with its turn, on
	// this worker after d.
	After(d time.Duration, do func())
	EndIn(d time.Duration, r *Run)
	WakeIn(d time.Duration, w *Worker, turn uint64)
	// Delivers receives a successful Infer, whose outputs are to be delivered.
	// Answers has received its result before.
	Delivers(o *work.Order)
	// Answers receives a result with the order that it ends. The order is nil for a
	// repeated result and for a state.
	Answers(r *protocol.Result, o *work.Order)
}

// Worker is one emulated worker. It and its GPUs persist across incarnations.
type Worker struct {
	Core *work.Worker
	GPUs []*GPU

	// Renewed is called when the worker is another incarnation, nil for nothing.
	Renewed func()

	config   work.Config
	world    World
	wake     protocol.Time // of the last WakeIn; Never once it came
	wants    protocol.Time // the wake-up that the core waits for, no earlier than wake
	turn     uint64        // of the last WakeIn: a wake-up of an earlier turn does nothing
	received work.Received
	input    work.Input
	staged   work.Staged
	staging  []*work.Order
	setUp    bool // orders are carried out at once and their results dropped
	setUps   protocol.ActionID
}

// GPU is one emulated GPU.
type GPU struct {
	Worker *Worker
	ID     int
	// Slow multiplies the duration of everything that starts now. Nothing ends
	// before Hung.
	Slow float64
	Hung protocol.Time
	// Fails says how an Infer or LoadWeights fails that ends now, nil if it does not; nil
	// for never. A code that loses the executor ends it.
	Fails func(o *work.Order) *protocol.Error
	// Stuck: its executor does not end when the worker ends it.
	Stuck bool
	// Restarts returns how long the next executor takes to start; nil for no time.
	Restarts func() time.Duration

	executor uint32        // of the GPU's executors, the number of the present one
	ready    protocol.Time // when the present executor is; nothing is executed or copied before
	// execution and transfer are what runs now, nil for nothing.
	execution, transfer *Run
}

// Run is an order being executed or transferred by a GPU.
type Run struct {
	Order *work.Order
	GPU   *GPU
	// Started is the start time, on the worker's clock.
	Started protocol.Time

	core *work.Worker // the core that started the run; the run is void in another incarnation
}

// New returns a worker with empty GPUs.
func New(config work.Config, world World) *Worker {
	w := &Worker{config: config, world: world}
	for i := range config.GPUs {
		w.GPUs = append(w.GPUs, &GPU{Worker: w, ID: i, Slow: 1})
	}
	w.Restart(config.Incarnation)
	return w
}

// World returns the worker's environment.
func (w *Worker) World() World { return w.world }

// ID returns the worker's name.
func (w *Worker) ID() string { return w.config.Name }

// Incarnation returns the current incarnation.
func (w *Worker) Incarnation() uint64 { return w.Core.Incarnation() }

// String names the GPU.
func (g *GPU) String() string { return fmt.Sprintf("%s gpu %d", g.Worker.config.Name, g.ID) }

// Restart starts a new incarnation with empty memory and GPUs; running orders
// are void.
func (w *Worker) Restart(incarnation uint64) {
	w.config.Incarnation = incarnation
	w.Core, w.wake = work.New(w.config), protocol.Never
	w.turn++
	for _, g := range w.GPUs {
		g.executor, g.ready, g.execution, g.transfer = 0, 0, nil, nil
	}
}

// Receive delivers an action to the worker.
func (w *Worker) Receive(a protocol.Action) {
	a.Requests = slices.Clone(a.Requests) // the sender reuses its memory
	w.received.Action = a
	w.Step(&w.received)
}

// Input delivers the payload of one request to the worker.
func (w *Worker) Input(id protocol.RequestID, bytes int64) {
	w.input = work.Input{ID: id, Bytes: bytes}
	w.Step(&w.input)
}

// Wake delivers the Tick that the core requested.
func (w *Worker) Wake(turn uint64) {
	if turn != w.turn {
		return // an earlier or later wake-up took its place
	}
	w.wake = protocol.Never
	w.Step(&work.Tick{})
}

// Waits reports whether the core waits for a wake-up. It may wait for none, or for a later
// one, while there is one on its way.
func (w *Worker) Waits() bool { return w.wants != protocol.Never }

// End ends a run on its GPU, unless the GPU hangs, or the run has ended with its executor.
func (w *Worker) End(r *Run) {
	if r.core != w.Core || *r.place() != r {
		return
	}
	now := w.world.Now()
	if r.GPU.Hung > now {
		w.world.EndIn(r.GPU.Hung.Sub(now), r)
		return
	}
	refusal := r.GPU.failure(r.Order)
	if refusal != nil && refusal.Code.LosesExecutor() {
		r.GPU.LoseExecutor(refusal)
		return
	}
	w.ended(r, now, refusal)
}

// failure returns how an order fails that ends now, nil if it does not.
func (g *GPU) failure(o *work.Order) *protocol.Error {
	if g.Fails == nil || o.Action.Kind != protocol.Infer && o.Action.Kind != protocol.LoadWeights {
		return nil
	}
	return g.Fails(o)
}

// place is where a GPU has what runs in the lane of a run.
func (r *Run) place() **Run {
	if r.Order.Action.Kind == protocol.Infer {
		return &r.GPU.execution
	}
	return &r.GPU.transfer
}

func (w *Worker) ended(r *Run, now protocol.Time, refusal *protocol.Error) {
	*r.place() = nil
	if r.Order.Action.Kind == protocol.Infer {
		phase := protocol.Phase{Begin: r.Started, End: now, Device: now.Sub(r.Started)}
		w.Step(&work.Executed{Order: r.Order, Refusal: refusal, Phase: phase, Begin: r.Started, End: now, Fetched: true})
		return
	}
	w.Step(&work.Transferred{Order: r.Order, Refusal: refusal, Begin: r.Started, End: now})
}

// LoseExecutor ends the process that executes for the GPU: what runs ends with refused, and
// the weights are gone. The next process is ready after Restarts; loads wait for it.
func (g *GPU) LoseExecutor(refusal *protocol.Error) {
	w, now := g.Worker, g.Worker.world.Now()
	lost, restarts := []*Run{g.execution, g.transfer}, time.Duration(0)
	if g.Restarts != nil {
		restarts = g.Restarts()
	}
	g.ready = now.Add(restarts)
	w.Step(&work.ExecutorLost{GPU: g.ID, Executor: g.executor})
	g.executor++
	for _, r := range lost {
		if r != nil {
			w.ended(r, now, refusal)
		}
	}
	core, executor := w.Core, g.executor
	w.world.After(restarts, func() {
		if w.Core == core && g.executor == executor {
			w.Step(&work.ExecutorReady{GPU: g.ID})
		}
	})
}

// Step applies one event to the core and carries out its output.
func (w *Worker) Step(e work.Event) {
	w.carryOut(w.Core.Step(w.world.Now(), e))
	for len(w.staging) > 0 {
		now := w.world.Now()
		w.staged.Order, w.staged.Phase = w.staging[0], protocol.Phase{Begin: now, End: now}
		w.staging = slices.Delete(w.staging, 0, 1)
		w.carryOut(w.Core.Step(now, &w.staged))
	}
}

// carryOut carries out the core's output. Runs are started last: in a set-up
// they end at once and thereby call Step, which reuses the output.
func (w *Worker) carryOut(out *work.Output) {
	w.staging = append(w.staging, out.Stage...)
	for _, o := range out.Overdue {
		w.world.After(0, func() { w.endOverdue(o) })
	}
	for _, o := range out.GivenUp {
		w.world.After(0, func() { o.Driver.(func(*protocol.Error))(protocol.Refusal(protocol.Cancelled)) })
	}
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
	if out.Renewed && w.Renewed != nil {
		w.Renewed()
	}
	for _, o := range out.Deliver {
		w.world.Delivers(o)
	}
	if w.wants = out.Wake; out.Wake < w.wake {
		w.wake = out.Wake
		w.turn++
		w.world.WakeIn(max(0, out.Wake.Sub(w.world.Now())), w, w.turn)
	}
	if len(out.Execute)+len(out.Transfer) > 0 {
		for _, o := range slices.Concat(out.Execute, out.Transfer) {
			w.begin(o)
		}
	}
}

// begin starts an order.
func (w *Worker) begin(o *work.Order) {
	g, now := w.GPUs[o.GPU], w.world.Now()
	r := &Run{Order: o, GPU: g, Started: now, core: w.Core}
	*r.place() = r
	if w.setUp {
		w.ended(r, now, nil)
		return
	}
	if o.Action.Kind == protocol.ClearCache {
		w.world.After(0, func() { w.End(r) })
		return
	}
	takes := time.Duration(float64(w.world.Begins(o, g)) * g.Slow)
	w.world.EndIn(takes+max(0, g.Hung.Sub(now), g.ready.Sub(now)), r)
}

// endOverdue ends the executor of an order that hangs, unless the order has ended.
func (w *Worker) endOverdue(o *work.Order) {
	g := w.GPUs[o.GPU]
	if g.Stuck {
		return
	}
	if runs := func(r *Run) bool { return r != nil && r.Order == o }; runs(g.execution) || runs(g.transfer) {
		g.LoseExecutor(protocol.Refusal(protocol.ExecutorLost))
	}
}

// read starts the read of a model from disk; Order.Driver ends it, unless it has ended.
func (w *Worker) read(o *work.Order) {
	core, begin, over := w.Core, w.world.Now(), false
	spec, takes, refusal := w.world.Reads(o.Action.Load)
	done := func(refusal *protocol.Error) {
		if core == w.Core && !over {
			over = true
			w.Step(&work.ModelRead{Order: o, Refusal: refusal, Begin: begin, End: w.world.Now(), Spec: spec, Handle: spec.Digest})
		}
	}
	o.Driver = done
	if w.setUp {
		done(refusal)
		return
	}
	w.world.After(takes, func() { done(refusal) })
}

// setUpIssuer is the issuer of set-up actions.
const setUpIssuer = ^uint64(0)

// HoldInMemory puts copies of a model into host memory, before the run.
func (w *Worker) HoldInMemory(path string, names ...string) {
	w.quietly(protocol.Action{Kind: protocol.LoadModelFromDisk, Load: &protocol.LoadSpec{Path: path, Names: names}})
}

// HoldOnGPU puts a model's weights onto a GPU, before the run, if they fit.
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
