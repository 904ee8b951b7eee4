package worker

import (
	"time"

	"clockwork/pkg/clock"
	"clockwork/pkg/executor"
	"clockwork/pkg/protocol"
)

// smallCopy is how many bytes are copied where they come along: handing them
// to another goroutine would take longer.
const smallCopy = 64 << 10

// arrive puts an Infer into the lane; it is ready when it is staged. The
// caller holds the lock, here and below unless it says otherwise.
func (g *gpu) arrive(o *order) {
	g.orders[o.task] = o
	g.step(&g.executions, executor.Arrived{Task: executor.Task{ID: o.task, Earliest: o.earliest, Latest: o.latest}})
	if o.missing == 0 && g.executions.Has(o.task) {
		g.complete(o)
	}
}

// complete stages an Infer whose inputs are there.
func (g *gpu) complete(o *order) {
	if !g.executions.Has(o.task) {
		return // it expired
	}
	if refused := o.checkInputs(); refused != nil {
		g.withdraw(o, refused)
		return
	}
	o.version = g.pages.Version(o.action.Model)
	o.staging = true
	if o.inputBytes() > smallCopy {
		g.stages <- o
		return
	}
	g.staged(o, g.copyInputs(o))
}

// stage brings larger inputs to the device, beside the execution of others.
// The caller does not hold the lock; staging keeps what it reads.
func (g *gpu) stage(o *order) {
	refused := g.copyInputs(o)
	g.agent.mu.Lock()
	defer g.agent.unlock()
	g.staged(o, refused)
}

func (g *gpu) copyInputs(o *order) *protocol.Error {
	begin := clock.Now()
	run, err := g.device.Stage(o.model.shared.Model, o.action.Batch, o.items(), o.inputs)
	if err != nil {
		return refusal(err)
	}
	o.run, o.input = run, span(begin)
	return nil
}

// staged tells the lane that an Infer may begin.
func (g *gpu) staged(o *order, refused *protocol.Error) {
	o.staging = false
	switch {
	case !g.executions.Has(o.task): // it expired meanwhile, and was answered
		g.agent.release(o)
	case refused != nil:
		g.withdraw(o, refused)
	default:
		g.step(&g.executions, executor.Ready{ID: o.task})
	}
}

func (g *gpu) withdraw(o *order, refused *protocol.Error) {
	g.step(&g.executions, executor.Withdrawn{ID: o.task})
	delete(g.orders, o.task)
	g.agent.settle(o, refused)
}

// admitInfer takes the weights into use and hands the order to the device.
func (g *gpu) admitInfer(o *order) *protocol.Error {
	version, refused := g.pages.Use(o.action.Model)
	if refused != nil {
		return refused
	}
	if o.version != 0 && o.version != version {
		g.pages.Done(o.action.Model)
		return protocol.Errorf(protocol.WeightsChanged, "the weights of %s were replaced while it waited", o.action.Model)
	}
	o.version, o.weights = version, g.weights[o.action.Model]
	g.execute <- o
	return nil
}

// run executes an order. The caller is the execution goroutine, without the
// lock.
func (g *gpu) run(o *order) {
	var refused *protocol.Error
	if o.begin = clock.Now(); o.begin > o.latest {
		refused = g.late(o) // the machine held this thread up
	} else {
		refused = refusal(o.run.Execute(o.weights))
		o.finished()
	}
	a := g.agent
	a.mu.Lock()
	if refused == nil && g.pages.Version(o.action.Model) != o.version {
		refused = protocol.Refusal(protocol.WeightsChanged)
	}
	g.pages.Done(o.action.Model)
	delete(g.orders, o.task)
	g.step(&g.executions, executor.Ended{})
	idle := g.executions.Running() == 0
	if refused != nil || len(o.action.Requests) == 0 {
		a.answer(o, refused)
		a.unlock()
		return
	}
	a.unlock()
	if idle && int64(o.action.Items())*o.model.spec.OutputBytes() <= smallCopy {
		g.finish(o)
		return
	}
	g.finishing <- o
}

// finish sends the outputs to their front doors, and the result. The caller
// does not hold the lock.
func (g *gpu) finish(o *order) {
	a := g.agent
	begin := clock.Now()
	payloads, err := o.run.Outputs()
	o.output = span(begin)
	if err == nil {
		a.outputs.send(o.outputs(payloads), time.Now())
	}
	a.mu.Lock()
	defer a.unlock()
	a.answer(o, refusal(err))
}

// outputs are the outputs of the members, one payload each.
func (o *order) outputs(payloads [][]byte) []protocol.Output {
	list := make([]protocol.Output, len(payloads))
	for i, r := range o.action.Requests {
		list[i] = protocol.Output{
			ID:     r.ID,
			Model:  o.action.Model,
			Batch:  o.action.Batch,
			Items:  r.Batch,
			Queued: max(0, o.begin.Sub(o.received)),
			Input:  o.input.Device,
			Exec:   o.exec.Device,
			Output: o.output.Device,
			Data:   payloads[i],
		}
	}
	return list
}
