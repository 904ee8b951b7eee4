package frontdoor

import (
	"fmt"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simworker"
)

const worldWorkers, workerGPUs = 3, 3

// worker is a worker: its core, which holds all models on all of its GPUs. It obeys the newest
// scheduler.
type worker struct {
	simworker.Time
	*virtual.Worker
	w *world
}

func (w *world) startWorkers() {
	for i := range worldWorkers {
		x := &worker{Time: simworker.Time{Clock: &w.Clock}, w: w}
		c := work.Defaults()
		c.Name, c.Incarnation, c.GenerateInputs = fmt.Sprintf("w%d", 1+i), 1, true
		for range workerGPUs {
			c.GPUs = append(c.GPUs, work.GPU{Type: "t4", Pages: 2, PageSize: 1})
		}
		x.Worker = virtual.New(c, x)
		for _, g := range x.GPUs {
			g.Fails = x.fails
		}
		x.fill()
		w.workers[c.Name] = x
		w.Every(time.Second, x.injectFaults)
	}
}

// fill loads the models, before the world begins or the worker is heard of.
func (x *worker) fill() {
	for _, name := range []string{"a", "b"} {
		x.HoldInMemory(name, name)
		for gpu := range workerGPUs {
			x.HoldOnGPU(gpu, name)
		}
	}
}

// injectFaults has the worker crash now and then; it is there again at once, and has forgotten
// everything.
func (x *worker) injectFaults() {
	if x.w.faulty() && x.w.oneIn(10) {
		x.Restart(x.Incarnation() + 1)
		x.fill()
	}
}

// someWorker is the name of a worker.
func (w *world) someWorker() string { return fmt.Sprintf("w%d", 1+w.RNG.IntN(worldWorkers)) }

// act sends an action to its worker, if there is one of that name.
func (w *world) act(a sched.Addressed) {
	w.loose(func() {
		if x := w.workers[a.Worker]; x != nil {
			x.Receive(a.Action)
		}
	})
}

// sendInput sends a worker the input of a request.
func (d *frontDoor) sendInput(in Input) {
	id, bytes, to := in.Request.ID, int64(len(in.Request.Payload)), d.w.workers[in.Worker]
	d.Publish(&d.w.Clock, func() {
		d.w.loose(func() {
			if to != nil {
				to.Input(id, bytes)
			}
		})
	}, func() {})
}

// Begins returns how long an execution takes.
func (x *worker) Begins(*work.Order, *virtual.GPU) time.Duration {
	return x.w.UpTo(40 * time.Millisecond)
}

// Reads finds a model, whose path is its name.
func (x *worker) Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	m := spec(load.Path)
	m.Path, m.Digest, m.Pages = load.Path, load.Path, 1
	return m, 0, nil
}

// fails has some executions fail.
func (x *worker) fails(*work.Order) *protocol.Error {
	if x.w.faulty() && x.w.oneIn(50) {
		return protocol.Refusal(protocol.BackendError)
	}
	return nil
}

// Answers sends a result to the scheduler that the action was of.
func (x *worker) Answers(r *protocol.Result, _ *work.Order) {
	result := *r
	result.Worker = x.ID()
	x.w.count("worker: " + string(r.Code))
	for _, s := range x.w.schedulers {
		if s.term != nil && s.term.Epoch() == r.Issuer {
			s.hear(&sched.Result{Result: result})
		}
	}
}

// Delivers sends the outputs of a batch to the front doors.
func (x *worker) Delivers(o *work.Order) {
	for _, r := range o.Action.Requests {
		x.w.sendOutput(x.ID(), protocol.Output{ID: r.ID, Model: o.Action.Model, Batch: o.Action.Batch, Items: r.Batch, Data: make([]byte, 8*r.Batch)})
	}
}

// sendOutput sends an output to the front door that it names, now and then one of a wrong size
// or with a wrong id.
func (w *world) sendOutput(worker string, o protocol.Output) {
	to := o.ID.Door
	switch n := w.RNG.IntN(60); {
	case !w.faulty():
	case n == 0:
		o.Data = o.Data[1:]
	case n == 1:
		o.Items++
	case n == 2:
		o.ID.Door++
	}
	w.loose(func() {
		if d := w.frontDoorByID(to); d != nil {
			d.deliver(func() { d.checkedStep(&OutputArrived{worker, &o}) })
		}
	})
}

// forge has a worker send an output of a request that it was not given.
func (w *world) forge(id protocol.RequestID) {
	w.After(w.UpTo(40*time.Millisecond), func() {
		w.sendOutput(w.someWorker(), protocol.Output{ID: id, Batch: 1, Items: 1, Data: make([]byte, 8)})
	})
}
