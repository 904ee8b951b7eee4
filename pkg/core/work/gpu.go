package work

import (
	"clockwork/pkg/core/lane"
	"clockwork/pkg/core/pages"
	"clockwork/pkg/protocol"
)

// gpu is one GPU: its pages and its two lanes, which run independently of each other.
//
// Invariants: at most one order of each lane runs. The order that executes has
// registered with pages as a user of its weights.
type gpu struct {
	worker *Worker
	// index is the GPU's index in Config.GPUs, as actions name it.
	index int
	// pages accounts for the weight pages. An order changes it when its transfer begins
	// and when it ends.
	pages *pages.Ledger
	// executions are the Infers; transfers are LoadWeights, EvictWeights and parts of
	// a ClearCache.
	executions lane.Lane
	transfers  lane.Lane
	// orders are the orders that wait or run in one of the two lanes.
	orders map[lane.TaskID]*Order
	// executor counts the processes that executed for this GPU and ended. down: the last
	// one ended, and the next one is not ready.
	executor uint32
	down     bool
	restart  restart
	// executionsWake and transfersWake are when each lane needs its next Tick, Never if
	// it needs none.
	executionsWake, transfersWake protocol.Time
}

func newGPU(w *Worker, index int, config GPU) *gpu {
	return &gpu{worker: w, index: index, pages: pages.New(config.Pages), orders: map[lane.TaskID]*Order{},
		restart: restart{due: protocol.Never}, executionsWake: protocol.Never, transfersWake: protocol.Never}
}

// queue puts an order into a lane. The order may begin inside its window once it is
// ready.
func (g *gpu) queue(l *lane.Lane, o *Order, ready bool) {
	g.orders[o.Number] = o
	g.step(l, lane.Arrived{Task: lane.Task{ID: o.Number, Earliest: o.Earliest, Latest: o.Latest}, Ready: ready})
}

// step applies an event to a lane and carries out the lane's output: it answers expired
// orders and starts the next one. If that order is refused, the lane continues with the
// one after it.
func (g *gpu) step(l *lane.Lane, e lane.Event) {
	for e != nil {
		out := l.Step(g.worker.now, e)
		for _, x := range out.Expired {
			g.expired(x)
		}
		e = nil
		if out.Start != 0 {
			o := g.orders[out.Start]
			if refusal := g.start(o); refusal != nil {
				delete(g.orders, o.Number)
				g.worker.settle(o, refusal)
				e = lane.Ended{}
			}
		}
		if e == nil {
			*g.wake(l) = out.Wake
			g.worker.out.Wake = min(g.worker.out.Wake, out.Wake)
		}
	}
}

// wake returns where the wake of a lane is kept.
func (g *gpu) wake(l *lane.Lane) *protocol.Time {
	if l == &g.executions {
		return &g.executionsWake
	}
	return &g.transfersWake
}

// start outputs an order whose turn it is, or returns the reason why it cannot begin.
func (g *gpu) start(o *Order) *protocol.Error {
	if o.Action.Kind == protocol.Infer {
		return g.startInfer(o)
	}
	return g.startTransfer(o)
}

// expired answers an order that can no longer begin.
func (g *gpu) expired(x lane.Expired) {
	o := g.orders[x.ID]
	delete(g.orders, x.ID)
	if !x.Ready && o.missing > 0 {
		g.worker.settle(o, protocol.Errorf(protocol.InputMissing, "%d of %d inputs had not arrived at the action's latest begin", o.missing, len(o.Action.Requests)))
		return
	}
	g.worker.settle(o, o.Late(g.worker.now))
}

// tick steps the lanes whose wake is due.
func (g *gpu) tick() {
	for _, l := range []*lane.Lane{&g.executions, &g.transfers} {
		if at := *g.wake(l); at <= g.worker.now {
			g.step(l, lane.Tick{})
		} else {
			g.worker.out.Wake = min(g.worker.out.Wake, at)
		}
	}
	g.overdue()
	g.overdueRestart()
}

// withdraw removes a waiting Infer from its lane and answers it.
func (g *gpu) withdraw(o *Order, refusal *protocol.Error) {
	g.step(&g.executions, lane.Withdrawn{ID: o.Number})
	delete(g.orders, o.Number)
	g.worker.settle(o, refusal)
}

// abandon answers all waiting orders of both lanes, each lane in order of arrival.
func (g *gpu) abandon(refusal *protocol.Error) {
	for _, l := range []*lane.Lane{&g.executions, &g.transfers} {
		for _, id := range l.Waiting() {
			l.Step(g.worker.now, lane.Withdrawn{ID: id})
			o := g.orders[id]
			delete(g.orders, id)
			g.worker.settle(o, refusal)
		}
	}
}

// settle answers an order, or ends one GPU's part of a ClearCache.
func (w *Worker) settle(o *Order, refusal *protocol.Error) {
	if o.part != nil {
		w.cleared(o, refusal)
		return
	}
	w.answer(o, refusal)
}
