package worker

import (
	"runtime"
	"sync"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// gpu is one GPU at work: the goroutines that call its device. The core says what
// they do and when; the channels carry orders to them, each with room for all that
// can be under way, so that nobody blocks on one under the agent's lock.
type gpu struct {
	agent  *agent
	index  int
	device backend.Device
	info   backend.DeviceInfo
	// weights are those on the device, by model; the agent's lock guards them.
	weights map[string]backend.Weights

	stages    chan *work.Order // whose inputs are to be brought to the device
	execute   chan *work.Order // at most one
	finishing chan *work.Order // whose outputs are to be fetched
	transfer  chan *work.Order // at most one
	work      sync.WaitGroup
}

// job is what the device holds of an order: Order.Driver.
type job struct {
	run      backend.Run
	weights  backend.Weights
	payloads [][]byte // outputs, one for each member
	fetch    bool     // the outputs are to be fetched beside the next execution
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

// start begins to work on the device.
func (g *gpu) start() {
	g.work.Go(func() { each(g.stages, g.stage) })
	g.work.Go(func() {
		if g.info.Bind != nil {
			runtime.LockOSThread() // the thread ends with the goroutine
			if err := g.info.Bind(); err != nil {
				g.agent.bus.Log.Warn("GPU not bound to a processor", "gpu", g.index, "error", err)
			}
		}
		each(g.execute, g.run)
		close(g.finishing)
	})
	g.work.Go(func() { each(g.finishing, g.finish) })
	g.work.Go(func() { each(g.transfer, g.move) })
}

// stop waits until what was begun is over. Nothing waits in the lanes.
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

// smallCopy is how many bytes are copied where they come along: handing them to
// another goroutine would take longer.
const smallCopy = 64 << 10

// smallOutput is how many bytes of output are fetched before the GPU's next
// execution is looked for: that takes less than a goroutine beside it would.
const smallOutput = 16 << 10

// stage brings larger inputs to the device, beside the execution of others. The
// caller does not hold the lock; the core keeps the inputs until it is told.
func (g *gpu) stage(o *work.Order) {
	e := g.copyInputs(o)
	g.agent.mu.Lock()
	defer g.agent.unlock()
	g.agent.step(e)
}

func (g *gpu) copyInputs(o *work.Order) *work.Staged {
	begin := clock.Now()
	run, err := g.device.Stage(o.Model.(backend.Model), o.Action.Batch, o.Items(), o.Inputs)
	if err != nil {
		return &work.Staged{Order: o, Refused: refusal(err)}
	}
	jobOf(o).run = run
	return &work.Staged{Order: o, Phase: span(begin)}
}

// run executes an order. The caller is the execution goroutine, without the lock.
func (g *gpu) run(o *work.Order) {
	j, e := jobOf(o), work.Executed{Order: o}
	if e.Begin = clock.Now(); o.Late(e.Begin) != nil {
		e.Refused = o.Late(e.Begin) // the machine held this thread up
	} else {
		e.Refused = refusal(j.run.Execute(j.weights))
		e.Phase = span(e.Begin)
		e.End = e.Phase.End
	}
	if e.Refused == nil && len(o.Action.Requests) > 0 && int64(o.Action.Items())*o.Spec.OutputBytes() <= smallOutput {
		e.Fetched = true
		j.payloads, e.FetchedPhase, e.Refused = fetch(j.run)
	}
	g.agent.mu.Lock()
	g.agent.step(&e)
	fetch := j.fetch
	g.agent.sendSoon()
	if fetch {
		g.finishing <- o
	}
}

// finish fetches larger outputs, beside the execution of others.
func (g *gpu) finish(o *work.Order) {
	j, e := jobOf(o), work.Fetched{Order: o}
	j.payloads, e.Phase, e.Refused = fetch(j.run)
	g.agent.mu.Lock()
	defer g.agent.sendSoon()
	g.agent.step(&e)
}

// fetch copies the outputs from the device, one payload for each member.
func fetch(run backend.Run) ([][]byte, protocol.Phase, *protocol.Error) {
	begin := clock.Now()
	payloads, err := run.Outputs()
	return payloads, span(begin), refusal(err)
}

// move copies or drops weights. The caller is the transfer goroutine, without the
// lock.
func (g *gpu) move(o *work.Order) {
	e := work.Transferred{Order: o, Begin: clock.Now()}
	var loaded backend.Weights
	var err error
	switch o.Action.Kind {
	case protocol.LoadWeights:
		loaded, err = g.device.LoadWeights(o.Model.(backend.Model), o.Frames)
	case protocol.EvictWeights:
		err = g.drop(o.Action.Model)
	default:
		e.Kept, err = g.dropAll(o.Dropping)
	}
	e.End, e.Refused = clock.Now(), refusal(err)
	g.agent.mu.Lock()
	defer g.agent.unlock()
	if loaded != nil && err == nil {
		g.weights[o.Action.Model] = loaded
	}
	g.agent.step(&e)
}

// drop evicts the weights of a model. The caller does not hold the lock.
func (g *gpu) drop(model string) error {
	g.agent.mu.Lock()
	weights := g.weights[model]
	g.agent.mu.Unlock()
	if err := weights.Evict(); err != nil {
		return err
	}
	g.agent.mu.Lock()
	delete(g.weights, model)
	g.agent.mu.Unlock()
	return nil
}

// dropAll evicts what a ClearCache took, and returns those that stayed.
func (g *gpu) dropAll(models []string) (kept []string, last error) {
	for _, model := range models {
		if err := g.drop(model); err != nil {
			kept, last = append(kept, model), err
		}
	}
	return kept, last
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
