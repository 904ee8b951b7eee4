package emulation

import (
	"fmt"
	"time"

	"clockwork/pkg/core/executor"
	"clockwork/pkg/core/pages"
	"clockwork/pkg/protocol"
)

// GPU is one emulated GPU with its worker's own code around it: a lane for
// executions, one for transfers, and the accounting of pages.
type GPU struct {
	Worker *Worker
	ID     int
	Type   string
	Pages  *pages.Ledger
	// Slow is how many times longer than usual everything takes that begins
	// now; nothing ends before Hung.
	Slow float64
	Hung protocol.Time

	lanes [2]lane
}

// The lanes of a GPU.
const (
	Transfers = iota
	Executions
)

// lane is one of them, with the orders that wait or run in it.
type lane struct {
	executor.Lane
	orders []*Order
	tasks  executor.TaskID
	wakes  protocol.Time // the earliest wake that is on its way
}

// AddGPU gives the worker another GPU, empty.
func (w *Worker) AddGPU(kind string, pages int) *GPU {
	g := &GPU{Worker: w, ID: len(w.GPUs), Type: kind, Slow: 1}
	w.GPUs = append(w.GPUs, g)
	g.resize(pages)
	return g
}

func (g *GPU) resize(total int) {
	g.Pages = pages.New(total)
	g.clear()
}

// empty is how a GPU is when its worker starts.
func (g *GPU) empty() { g.resize(g.Pages.Total()) }

// Hold puts a model's weights there, if there is room.
func (g *GPU) Hold(model string, pages int) {
	if _, refused := g.Pages.Begin(model, pages); refused == nil {
		g.Pages.Commit(model)
	}
}

func (g *GPU) state() protocol.GPUState {
	return protocol.GPUState{
		ID: g.ID, UUID: g.String(), Type: g.Type, PagesTotal: g.Pages.Total(), PagesUsed: g.Pages.Used(), Models: g.Pages.Loaded(),
	}
}

// String names the GPU for a person.
func (g *GPU) String() string { return fmt.Sprintf("%s gpu %d", g.Worker.ID, g.ID) }

// Running returns what a lane executes or transfers now, nil for nothing.
func (g *GPU) Running(which int) *Order {
	l := &g.lanes[which]
	if id := l.Lane.Running(); id != 0 {
		return l.find(id)
	}
	return nil
}

// queue puts an order into its lane.
func (g *GPU) queue(o *Order) {
	l := &g.lanes[o.Lane()]
	l.tasks++
	o.task = l.tasks
	l.orders = append(l.orders, o)
	g.step(o.Lane(), executor.Arrived{
		Task:  executor.Task{ID: o.task, Earliest: o.Earliest, Latest: o.Latest},
		Ready: o.missing == 0,
	})
}

func (g *GPU) ready(o *Order) { g.step(Executions, executor.Ready{ID: o.task}) }

// Wake says that the time has come that a lane asked for.
func (g *GPU) Wake(lane int) {
	g.lanes[lane].wakes = protocol.Never
	g.step(lane, executor.Tick{})
}

// step drives a lane as its doc says.
func (g *GPU) step(which int, e executor.Event) {
	l := &g.lanes[which]
	for {
		now := g.Worker.world.Now()
		out := l.Step(now, e)
		for _, x := range out.Expired {
			code := protocol.TooLate
			if !x.Ready {
				code = protocol.InputMissing
			}
			g.Worker.finish(l.forget(x.ID), code)
		}
		if out.Wake < l.wakes {
			l.wakes = out.Wake
			g.Worker.world.WakeIn(out.Wake.Sub(now), g, which)
		}
		if out.Start == 0 || g.begin(l, l.find(out.Start)) {
			return
		}
		e = executor.Ended{}
	}
}

// begin starts an order, or refuses it and returns false.
func (g *GPU) begin(l *lane, o *Order) bool {
	var refused *protocol.Error
	switch name := o.Action.Model; o.Action.Kind {
	case protocol.Infer:
		_, refused = g.Pages.Use(name)
	case protocol.LoadWeights:
		_, refused = g.Pages.Begin(name, o.Model.Pages)
	default:
		refused = g.Pages.Evict(name)
	}
	if refused != nil {
		g.Worker.finish(l.forget(o.task), refused.Code)
		return false
	}
	w := g.Worker.world
	o.Begin = w.Now()
	takes := time.Duration(float64(w.Begins(o)) * g.Slow)
	w.EndIn(takes+max(0, g.Hung.Sub(o.Begin)), o)
	return true
}

// end is when the GPU is done with an order.
func (g *GPU) end(o *Order) {
	w := g.Worker.world
	if now := w.Now(); g.Hung > now {
		w.EndIn(g.Hung.Sub(now), o)
		return
	}
	g.lanes[o.Lane()].forget(o.task)
	o.End = w.Now()
	g.settle(o)
	g.Worker.finish(o, protocol.OK)
	g.step(o.Lane(), executor.Ended{})
}

// settle closes the accounting of what ran.
func (g *GPU) settle(o *Order) {
	switch o.Action.Kind {
	case protocol.Infer:
		g.Pages.Done(o.Action.Model)
	case protocol.LoadWeights:
		g.Pages.Commit(o.Action.Model)
	default:
		g.Pages.Free(o.Action.Model)
	}
}

// drop forgets all orders; what runs is done as far as the pages go.
func (g *GPU) drop() {
	for which := range g.lanes {
		if o := g.Running(which); o != nil {
			g.settle(o)
		}
	}
	g.clear()
}

func (g *GPU) clear() {
	for i := range g.lanes {
		g.lanes[i] = lane{tasks: g.lanes[i].tasks, wakes: protocol.Never}
	}
}

func (l *lane) find(id executor.TaskID) *Order {
	for _, o := range l.orders {
		if o.task == id {
			return o
		}
	}
	panic("emulation: a lane began an order that it does not hold")
}

func (l *lane) forget(id executor.TaskID) *Order {
	o := l.find(id)
	for i := range l.orders {
		if l.orders[i] == o {
			l.orders = append(l.orders[:i], l.orders[i+1:]...)
			break
		}
	}
	return o
}

// Clear drops all weights, or none with WEIGHTS_IN_USE.
func (g *GPU) Clear() protocol.Code {
	if g.Running(Transfers) != nil || g.Running(Executions) != nil {
		return protocol.WeightsInUse
	}
	for _, name := range g.Pages.Loaded() {
		if refused := g.Pages.Evict(name); refused == nil {
			g.Pages.Free(name)
		}
	}
	return protocol.OK
}
