package worker

import (
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/executor"
	"clockwork/pkg/protocol"
)

// smallCopy is how many bytes are copied where they come along: handing them
// to another goroutine would take longer.
const smallCopy = 64 << 10

// smallOutput is how many bytes of output are fetched before the GPU's next
// execution is looked for: that takes less than a goroutine beside it would.
const smallOutput = 16 << 10

// arrive puts an Infer into the lane; it is ready when it is staged. The
// caller holds the lock, here and below unless it says otherwise.
func (g *gpu) arrive(o *order) {
	task := executor.Task{ID: o.task, Earliest: o.earliest, Latest: o.latest}
	if o.missing > 0 || o.inputBytes() > smallCopy {
		g.orders[o.task] = o
		g.step(&g.executions, executor.Arrived{Task: task})
		if o.missing == 0 && g.executions.Has(o.task) {
			g.complete(o)
		}
		return
	}
	if refused := g.prepare(o); refused != nil {
		g.agent.settle(o, refused)
		return
	}
	if refused := g.copyInputs(o); refused != nil {
		g.agent.settle(o, refused)
		return
	}
	g.orders[o.task] = o
	g.step(&g.executions, executor.Arrived{Task: task, Ready: true})
}

// prepare looks at the inputs of an Infer that misses none, and at the weights
// that are there for it.
func (g *gpu) prepare(o *order) *protocol.Error {
	if refused := o.checkInputs(); refused != nil {
		return refused
	}
	o.version = g.pages.Version(o.action.Model)
	return nil
}

// complete stages an Infer whose inputs are there.
func (g *gpu) complete(o *order) {
	if !g.executions.Has(o.task) {
		return // it expired
	}
	if refused := g.prepare(o); refused != nil {
		g.withdraw(o, refused)
		return
	}
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
	g.agent.lanes++
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
	answers := refused == nil && len(o.action.Requests) > 0
	small := answers && int64(o.action.Items())*o.model.spec.OutputBytes() <= smallOutput
	var payloads [][]byte
	if small {
		payloads, refused = o.fetch()
	}
	if g.executed(o, refused, payloads) && answers && !small {
		g.finishing <- o
	}
}

// executed ends an execution in its lane, which begins the next one. It answers
// the order unless its outputs are still to be fetched, and reports whether the
// execution is valid. The caller does not hold the lock, below neither.
func (g *gpu) executed(o *order, refused *protocol.Error, payloads [][]byte) (valid bool) {
	a := g.agent
	a.mu.Lock()
	defer a.sendSoon()
	if refused == nil && g.pages.Version(o.action.Model) != o.version {
		refused = protocol.Refusal(protocol.WeightsChanged)
	}
	a.lanes--
	g.pages.Done(o.action.Model)
	delete(g.orders, o.task)
	g.step(&g.executions, executor.Ended{})
	switch {
	case refused != nil || len(o.action.Requests) == 0:
		a.answer(o, refused)
	case payloads != nil:
		a.outputs.add(o, payloads)
		a.answer(o, nil)
	}
	return refused == nil
}

// finish fetches larger outputs and answers an order, beside the execution of
// others.
func (g *gpu) finish(o *order) {
	a := g.agent
	payloads, refused := o.fetch()
	if refused == nil {
		a.outputs.add(o, payloads)
	}
	a.mu.Lock()
	defer a.sendSoon()
	a.answer(o, refused)
}

// fetch copies the outputs from the device, one payload for each member.
func (o *order) fetch() ([][]byte, *protocol.Error) {
	begin := clock.Now()
	payloads, err := o.run.Outputs()
	o.output = span(begin)
	return payloads, refusal(err)
}
