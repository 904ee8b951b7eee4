package worker

import (
	"log/slog"
	"sync"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// gpu is one GPU with the goroutines that call its device. The core decides what
// they do and when. The channels carry orders to them; their capacity covers
// everything that can be under way, so that sending under the agent's lock never
// blocks.
type gpu struct {
	agent  *agent
	index  int
	device backend.Device
	info   backend.DeviceInfo
	// weights are the weights on the device, by model; the agent's lock guards them.
	weights map[string]backend.Weights
	// losses counts the executors that ended, overdue those of them that the worker ended;
	// the agent's lock guards them.
	losses, overdue int

	stages    chan *work.Order // orders whose inputs are to be staged
	execute   chan *work.Order // at most one
	finishing chan *work.Order // orders whose outputs are to be fetched
	transfer  chan *work.Order // at most one
	work      sync.WaitGroup
}

// job is the device's part of an order: Order.Driver.
type job struct {
	run      backend.Run
	weights  backend.Weights
	payloads [][]byte // outputs, one per request
	fetch    bool     // fetch the outputs during the next execution
	losses   int      // of the GPU when a transfer was output
}

func jobOf(o *work.Order) *job {
	j, _ := o.Driver.(*job)
	if j == nil {
		j = &job{}
		o.Driver = j
	}
	return j
}

func newGPU(a *agent, index int, device backend.Device) *gpu {
	return &gpu{
		agent:     a,
		index:     index,
		device:    device,
		info:      device.Info(),
		weights:   map[string]backend.Weights{},
		stages:    make(chan *work.Order, a.config.MaxQueued),
		execute:   make(chan *work.Order, 1),
		finishing: make(chan *work.Order, 64),
		transfer:  make(chan *work.Order, 1),
	}
}

// start starts the goroutines.
func (g *gpu) start() {
	g.work.Go(func() { each(g.stages, g.stage) })
	g.work.Go(func() {
		each(g.execute, g.run)
		close(g.finishing)
	})
	g.work.Go(func() { each(g.finishing, g.finish) })
	g.work.Go(func() { each(g.transfer, g.move) })
}

// stop waits for the running orders. The lanes must be empty.
func (g *gpu) stop() {
	close(g.stages)
	close(g.execute)
	close(g.transfer)
	g.work.Wait()
}

func each(orders <-chan *work.Order, do func(*work.Order)) {
	for o := range orders {
		do(o)
	}
}

// smallCopy bounds the inputs, in bytes, that are copied in the current
// goroutine: handing them to another one would take longer.
const smallCopy = 64 << 10

// smallOutput bounds the outputs, in bytes, that are fetched before the GPU's
// next execution: that takes less time than another goroutine would.
const smallOutput = 16 << 10

// stage copies larger inputs to the device, during other executions. Called
// without the lock; the core keeps the inputs until the Staged event.
func (g *gpu) stage(o *work.Order) {
	e := g.copyInputs(o)
	g.agent.mu.Lock()
	defer g.agent.unlock()
	g.agent.step(e)
}

func (g *gpu) copyInputs(o *work.Order) *work.Staged {
	begin := clock.Now()
	run, err := g.device.Stage(o.Model.Handle.(backend.Model), o.Action.Batch, o.Items(), o.Inputs)
	if err != nil {
		return &work.Staged{Order: o, Refusal: refusal(err)}
	}
	jobOf(o).run = run
	return &work.Staged{Order: o, Phase: span(begin)}
}

// run executes an order. Called by the execution goroutine, without the lock.
func (g *gpu) run(o *work.Order) {
	j, e := jobOf(o), work.Executed{Order: o}
	if e.Begin = clock.Now(); o.Late(e.Begin) != nil {
		e.Refusal = o.Late(e.Begin) // the operating system delayed this thread
	} else {
		e.Refusal = refusal(j.run.Execute(j.weights))
		e.Phase = span(e.Begin)
		e.End = e.Phase.End
	}
	if e.Refusal == nil && len(o.Action.Requests) > 0 && int64(o.Action.Items())*o.Spec.OutputBytes() <= smallOutput {
		e.Fetched = true
		j.payloads, e.FetchedPhase, e.Refusal = fetch(j.run)
	}
	g.agent.mu.Lock()
	g.agent.step(&e)
	fetch := j.fetch
	g.agent.sendSoon()
	if fetch {
		g.finishing <- o
	}
}

// finish fetches larger outputs, during the next execution.
func (g *gpu) finish(o *work.Order) {
	j, e := jobOf(o), work.Fetched{Order: o}
	j.payloads, e.Phase, e.Refusal = fetch(j.run)
	g.agent.mu.Lock()
	defer g.agent.sendSoon()
	g.agent.step(&e)
}

// fetch copies the outputs from the device, one payload per request.
func fetch(run backend.Run) ([][]byte, protocol.Phase, *protocol.Error) {
	begin := clock.Now()
	payloads, err := run.Outputs()
	return payloads, span(begin), refusal(err)
}

// move loads or evicts weights. Called by the transfer goroutine, without the
// lock.
func (g *gpu) move(o *work.Order) {
	e := work.Transferred{Order: o, Begin: clock.Now()}
	var loaded backend.Weights
	var err error
	switch o.Action.Kind {
	case protocol.LoadWeights:
		loaded, err = g.device.LoadWeights(o.Model.Handle.(backend.Model), o.Frames)
	case protocol.EvictWeights:
		err = g.drop(o.Action.Model)
	default:
		e.Kept, err = g.dropAll(o.Dropping)
	}
	e.End, e.Refusal = clock.Now(), refusal(err)
	g.agent.mu.Lock()
	defer g.agent.unlock()
	if loaded != nil && err == nil && g.losses != jobOf(o).losses {
		g.agent.mu.Unlock()
		g.takeBack(o, loaded)
		g.agent.mu.Lock()
		e.Refusal = protocol.Refusal(protocol.ExecutorLost)
	} else if loaded != nil && err == nil {
		g.weights[o.Action.Model] = loaded
	}
	g.agent.step(&e)
}

// takeBack evicts weights that were loaded by the next executor: the core counts those of
// the one before, for which the load was, as lost. Called without the lock.
func (g *gpu) takeBack(o *work.Order, loaded backend.Weights) {
	if err := loaded.Evict(); err != nil {
		g.agent.bus.Notice(slog.LevelError, "weights not dropped", o.Action.Model, "model", o.Action.Model, "error", err)
	}
}

// drop evicts the weights of a model. Called without the lock.
func (g *gpu) drop(model string) error {
	g.agent.mu.Lock()
	weights := g.weights[model]
	g.agent.mu.Unlock()
	if weights == nil { // they went with their executor
		return nil
	}
	if err := weights.Evict(); err != nil {
		return err
	}
	g.agent.mu.Lock()
	delete(g.weights, model)
	g.agent.mu.Unlock()
	return nil
}

// dropAll evicts the models of a ClearCache, and returns those that could not be
// evicted.
func (g *gpu) dropAll(models []string) (kept []string, last error) {
	for _, model := range models {
		if err := g.drop(model); err != nil {
			kept, last = append(kept, model), err
		}
	}
	return kept, last
}

// evictAll evicts all weights when the worker ends.
func (g *gpu) evictAll() {
	for name, weights := range g.weights {
		if err := weights.Evict(); err != nil {
			g.agent.bus.Log.Error("weights not dropped", "model", name, "error", err)
		}
		delete(g.weights, name)
	}
}
