package measure

import (
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simworker"
)

// worldWorker is a worker: its core, on GPUs that do what the models' manners say. A dead one
// hears and says nothing until it is another incarnation.
type worldWorker struct {
	simworker.Time
	*virtual.Worker
	world *world
	dead  bool
	types []string // of its GPUs
}

// endless is how long what hangs takes.
const endless = 1000 * time.Hour

// newWorker starts a worker. What hangs on it is ended with its executor, in time for the
// profiler or later.
func (w *world) newWorker(id string, gpus int) *worldWorker {
	worker := &worldWorker{world: w, Time: simworker.Time{Clock: &w.Clock}}
	c := work.Defaults()
	c.Name, c.Incarnation = id, 1
	c.Overdue = work.Overdue{Floor: time.Second, Unmeasured: []time.Duration{time.Second, worldTimeout - 100*time.Millisecond, worldTimeout + time.Second, 2*worldTimeout + time.Second}[w.RNG.IntN(4)]}
	for range gpus {
		worker.types = append(worker.types, []string{"t4", "v100"}[w.RNG.IntN(2)])
		c.GPUs = append(c.GPUs, work.GPU{Type: worker.types[len(worker.types)-1], Pages: worldPages, PageSize: worldPageSize})
	}
	worker.Worker = virtual.New(c, worker)
	for _, g := range worker.GPUs {
		g.Fails = worker.fails
		g.Restarts = func() time.Duration { return w.UpTo(300 * time.Millisecond) }
	}
	worker.load()
	return worker
}

// load is the controller's: it loads the models before it names a worker in a job.
func (w *worldWorker) load() {
	for _, m := range w.world.models {
		names := []string{m.Name}
		if m.Name == "m0" {
			names = append(names, "copy")
		}
		w.HoldInMemory(m.Path, names...)
	}
}

func (w *worldWorker) manner(model string) string {
	return w.world.manner[w.world.models[w.world.modelNamed(model)].Digest]
}

// Begins returns how long an order takes. A model may hang, and its executor may be beyond
// ending, or kill the worker.
func (w *worldWorker) Begins(o *work.Order, on *virtual.GPU) time.Duration {
	manner, infer := w.manner(o.Action.Model), o.Action.Kind == protocol.Infer
	switch {
	case on.Stuck:
		return endless
	case infer && manner == "kills":
		w.world.die(w)
	case infer && (manner == "hangs" || manner == "sticks"):
		on.Stuck = manner == "sticks" && !w.world.healed && w.world.oneIn(4)
		w.world.hung++
		return endless
	}
	return time.Duration(1+w.world.RNG.IntN(1000)) * time.Microsecond
}

// Reads finds every model at its path.
func (w *worldWorker) Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	for _, m := range w.world.models {
		if m.Path == load.Path {
			return m, 0, nil
		}
	}
	return protocol.ModelSpec{}, 0, protocol.Refusal(protocol.ModelNotFound)
}

// fails has some executions and transfers fail.
func (w *worldWorker) fails(o *work.Order) *protocol.Error {
	if o.Action.Kind == protocol.Infer && w.manner(o.Action.Model) == "fails" || !w.world.healed && w.world.oneIn(5) {
		return protocol.Refusal(protocol.BackendError)
	}
	return nil
}

// Delivers has nothing to deliver: measurements have no outputs.
func (w *worldWorker) Delivers(o *work.Order) { w.world.fail("%v has outputs", o.Action) }

// Answers sends a result. The device may measure nonsense.
func (w *worldWorker) Answers(r *protocol.Result, _ *work.Order) {
	if w.dead {
		return
	}
	result := *r
	result.Worker = w.ID()
	if r.Kind == protocol.Infer && w.manner(r.Model) == "absurd" {
		result.Exec.Device = -1
	}
	w.world.send(func() { w.world.step(ActionResult{result}) }) // also at a later life of the profiler
}

// stop is the worker's orderly end: it refuses what comes, and ends some time later.
func (w *worldWorker) stop() {
	if w.dead {
		return
	}
	w.Step(&work.Stop{})
	incarnation := w.Incarnation()
	w.world.After(w.world.UpTo(time.Second), func() {
		if w.Incarnation() == incarnation {
			w.world.die(w)
		}
	})
}

// injectFaults ends an executor.
func (w *worldWorker) injectFaults() {
	if !w.dead {
		code := []protocol.Code{protocol.ExecutorLost, protocol.ExecutorKilled}[w.world.RNG.IntN(2)]
		w.GPUs[w.world.RNG.IntN(len(w.GPUs))].LoseExecutor(protocol.Refusal(code))
	}
}

func (w *world) die(worker *worldWorker) {
	if worker.dead {
		return
	}
	worker.dead = true
	w.died++
	w.post(WorkerLost{worker.ID(), worker.Incarnation()})
}

func (w *world) revive(worker *worldWorker) {
	if !worker.dead {
		return
	}
	worker.dead = false
	worker.Restart(worker.Incarnation() + 1)
	for _, g := range worker.GPUs {
		g.Stuck = false
	}
	worker.load()
	w.post(WorkerSeen{worker.ID(), worker.Incarnation()})
}

func (w *world) workerNamed(id string) *worldWorker {
	for _, worker := range w.workers {
		if worker.ID() == id {
			return worker
		}
	}
	w.fail("there is no worker %s", id)
	return nil
}
