package work

import (
	"clockwork/pkg/core/executor"
	"clockwork/pkg/core/pages"
	"clockwork/pkg/protocol"
)

// gpu is one GPU: its pages and its two lanes.
type gpu struct {
	worker     *Worker
	index      int
	pages      *pages.Ledger
	executions executor.Lane
	transfers  executor.Lane
	orders     map[executor.TaskID]*Order // that wait or run in a lane
	// executionsWake and transfersWake are when each lane wants its next Tick.
	executionsWake, transfersWake protocol.Time
}

func newGPU(w *Worker, index int, config GPU) *gpu {
	return &gpu{worker: w, index: index, pages: pages.New(config.Pages), orders: map[executor.TaskID]*Order{},
		executionsWake: protocol.Never, transfersWake: protocol.Never}
}

// queue puts an order into a lane; it may begin once it is ready.
func (g *gpu) queue(lane *executor.Lane, o *Order, ready bool) {
	g.orders[o.Number] = o
	g.step(lane, executor.Arrived{Task: executor.Task{ID: o.Number, Earliest: o.Earliest, Latest: o.Latest}, Ready: ready})
}

// step gives a lane an event and does what it says.
func (g *gpu) step(lane *executor.Lane, e executor.Event) {
	for e != nil {
		out := lane.Step(g.worker.now, e)
		for _, x := range out.Expired {
			g.expired(x)
		}
		e = nil
		if out.Start != 0 {
			o := g.orders[out.Start]
			if refused := g.start(o); refused != nil {
				delete(g.orders, o.Number)
				g.worker.settle(o, refused)
				e = executor.Ended{}
			}
		}
		if e == nil {
			*g.wake(lane) = out.Wake
			g.worker.out.Wake = min(g.worker.out.Wake, out.Wake)
		}
	}
}

func (g *gpu) wake(lane *executor.Lane) *protocol.Time {
	if lane == &g.executions {
		return &g.executionsWake
	}
	return &g.transfersWake
}

// start looks whether an order can begin now, and hands it over if so.
func (g *gpu) start(o *Order) *protocol.Error {
	if o.Action.Kind == protocol.Infer {
		return g.startInfer(o)
	}
	return g.startTransfer(o)
}

// expired answers an order that can no longer begin.
func (g *gpu) expired(x executor.Expired) {
	o := g.orders[x.ID]
	delete(g.orders, x.ID)
	if !x.Ready && o.missing > 0 {
		g.worker.settle(o, protocol.Errorf(protocol.InputMissing, "%d of %d inputs had not arrived at the action's latest begin", o.missing, len(o.Action.Requests)))
		return
	}
	g.worker.settle(o, o.Late(g.worker.now))
}

// tick lets time pass for the lanes that wait for it.
func (g *gpu) tick() {
	for _, lane := range []*executor.Lane{&g.executions, &g.transfers} {
		if at := *g.wake(lane); at <= g.worker.now {
			g.step(lane, executor.Tick{})
		} else {
			g.worker.out.Wake = min(g.worker.out.Wake, at)
		}
	}
}

// withdraw takes an Infer out of its lane and answers it.
func (g *gpu) withdraw(o *Order, refused *protocol.Error) {
	g.step(&g.executions, executor.Withdrawn{ID: o.Number})
	delete(g.orders, o.Number)
	g.worker.settle(o, refused)
}

// abandon answers everything that waits, in the order of its arrival.
func (g *gpu) abandon(refused *protocol.Error) {
	for _, lane := range []*executor.Lane{&g.executions, &g.transfers} {
		for _, id := range lane.Waiting() {
			lane.Step(g.worker.now, executor.Withdrawn{ID: id})
			o := g.orders[id]
			delete(g.orders, id)
			g.worker.settle(o, refused)
		}
	}
}

// settle ends an order, or the part of one that a GPU had.
func (w *Worker) settle(o *Order, refused *protocol.Error) {
	if o.part != nil {
		w.cleared(o, refused)
		return
	}
	w.answer(o, refused)
}
