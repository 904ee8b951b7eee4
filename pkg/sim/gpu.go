package sim

import (
	"fmt"
	"time"

	"clockwork/pkg/executor"
	"clockwork/pkg/pages"
	"clockwork/pkg/protocol"
)

// gpu is one emulated GPU with its worker's own code around it: a lane for
// executions, one for transfers, and the accounting of pages.
type gpu struct {
	world  *world
	worker string
	lanes  [2]lane
	pages  *pages.Ledger
	use    Use
}

// The lanes of a GPU.
const (
	transfers = iota
	executions
)

// lane is one of them, with the orders that it holds.
type lane struct {
	executor.Lane
	orders []*order
	tasks  executor.TaskID
	wakes  protocol.Time // the earliest wake that is on its way
}

// order is an action on its way through a worker.
type order struct {
	gpu      *gpu
	model    *model
	action   protocol.Action
	task     executor.TaskID
	missing  int // inputs that are not there yet
	here     bool
	sent     protocol.Time // by the scheduler
	received protocol.Time
	begin    protocol.Time
	end      protocol.Time
	code     protocol.Code
}

func laneOf(k protocol.Kind) uint8 {
	if k == protocol.Infer {
		return executions
	}
	return transfers
}

// newWorker makes a worker with its GPUs, which hold what fits if they are to.
func (s *world) newWorker(id string, specs []protocol.ModelSpec) protocol.WorkerState {
	state := protocol.WorkerState{ID: id, Incarnation: 1, Models: specs, PageSize: s.config.PageSize, GenerateInputs: true}
	for i := range s.config.GPUs {
		g := &gpu{world: s, worker: id, pages: pages.New(s.config.Pages)}
		g.use.Name = fmt.Sprintf("%s gpu %d", id, i)
		for l := range g.lanes {
			g.lanes[l].wakes = protocol.Never
		}
		shown := protocol.GPUState{ID: i, UUID: g.use.Name, Type: gpuType, PagesTotal: s.config.Pages}
		if s.config.Resident {
			g.hold(specs)
		}
		shown.Models, shown.PagesUsed = g.pages.Loaded(), g.pages.Used()
		state.GPUs = append(state.GPUs, shown)
		s.gpus = append(s.gpus, g)
		s.byWorker[id] = append(s.byWorker[id], g)
	}
	return state
}

func (g *gpu) hold(specs []protocol.ModelSpec) {
	for _, m := range specs {
		if _, err := g.pages.Begin(m.Name, m.Pages); err == nil {
			g.pages.Commit(m.Name)
		}
	}
}

// receive has an action at its worker.
func (g *gpu) receive(o *order) {
	l := &g.lanes[laneOf(o.action.Kind)]
	l.tasks++
	o.task, o.received, o.here = l.tasks, g.world.now, true
	l.orders = append(l.orders, o)
	g.step(laneOf(o.action.Kind), executor.Arrived{
		Task:  executor.Task{ID: o.task, Earliest: o.action.Earliest, Latest: o.action.Latest},
		Ready: o.missing == 0,
	})
}

// stage has one input of an order.
func (g *gpu) stage(o *order) {
	if o.missing--; o.missing == 0 && o.here {
		g.step(executions, executor.Ready{ID: o.task})
	}
}

func (g *gpu) wake(lane uint8) {
	g.lanes[lane].wakes = protocol.Never
	g.step(lane, executor.Tick{})
}

// step drives a lane as its doc says.
func (g *gpu) step(which uint8, e executor.Event) {
	l := &g.lanes[which]
	for {
		out := l.Step(g.world.now, e)
		for _, x := range out.Expired {
			code := protocol.TooLate
			if !x.Ready {
				code = protocol.InputMissing
			}
			g.report(l.forget(x.ID), code)
		}
		if out.Wake < l.wakes {
			l.wakes = out.Wake
			g.world.after(out.Wake.Sub(g.world.now), event{kind: woken, gpu: g, lane: which})
		}
		if out.Start == 0 || g.begin(l.find(out.Start)) {
			return
		}
		e = executor.Ended{}
	}
}

func (l *lane) find(id executor.TaskID) *order {
	for _, o := range l.orders {
		if o.task == id {
			return o
		}
	}
	panic("sim: a lane began an order that it does not hold")
}

func (l *lane) forget(id executor.TaskID) *order {
	o := l.find(id)
	for i := range l.orders {
		if l.orders[i] == o {
			l.orders = append(l.orders[:i], l.orders[i+1:]...)
			break
		}
	}
	return o
}

// begin starts an order, or refuses it and returns false.
func (g *gpu) begin(o *order) bool {
	var err *protocol.Error
	takes := time.Duration(0)
	name := o.action.Model
	switch o.action.Kind {
	case protocol.Infer:
		_, err = g.pages.Use(name)
		takes = g.world.noise.apply(o.model.network.Execution(o.action.Batch))
	case protocol.LoadWeights:
		_, err = g.pages.Begin(name, o.model.spec.Pages)
		takes = g.world.noise.apply(o.model.network.Transfer)
	default:
		err = g.pages.Evict(name)
	}
	if err != nil {
		g.report(g.lanes[laneOf(o.action.Kind)].forget(o.task), err.Code)
		return false
	}
	o.begin = g.world.now
	g.world.after(takes, event{kind: ended, gpu: g, order: o})
	return true
}

// end is when a GPU is done with an order.
func (g *gpu) end(o *order) {
	which := laneOf(o.action.Kind)
	g.lanes[which].forget(o.task)
	o.end = g.world.now
	switch o.action.Kind {
	case protocol.Infer:
		g.pages.Done(o.action.Model)
	case protocol.LoadWeights:
		g.pages.Commit(o.action.Model)
	default:
		g.pages.Free(o.action.Model)
	}
	g.use.add(o)
	g.world.report.executed(g, o)
	g.report(o, protocol.OK)
	g.step(which, executor.Ended{})
}

// report sends an order's result, and the outputs of one that went well.
func (g *gpu) report(o *order, code protocol.Code) {
	w := g.world
	o.code = code
	if code != protocol.OK {
		w.report.Failures[code]++
	}
	w.after(w.link.delay(), event{kind: reported, order: o})
	if code != protocol.OK || o.action.Kind != protocol.Infer {
		return
	}
	for _, ref := range o.action.Requests {
		slot, life := where(ref.ID)
		w.after(w.link.payload(o.model.spec.OutputBytes()*int64(ref.Batch)), event{kind: answered, slot: slot, life: life, order: o})
	}
}
