package worker

import (
	"runtime"
	"sync"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/executor"
	"clockwork/pkg/core/pages"
	"clockwork/pkg/protocol"
)

// gpu is one GPU: its pages, its two lanes, and the goroutines that work on
// the device. The agent's lock guards it; the channels carry orders to the
// goroutines, each with room for all that can be under way, so that nobody
// blocks on one under the lock.
type gpu struct {
	agent  *agent
	index  int
	device backend.Device
	info   backend.DeviceInfo

	pages      *pages.Ledger
	weights    map[string]backend.Weights
	executions executor.Lane
	transfers  executor.Lane
	orders     map[executor.TaskID]*order // that wait or run in a lane
	alarms     [2]alarm                   // of executions, of transfers

	stages    chan *order // whose inputs are to be brought to the device
	execute   chan *order // at most one
	finishing chan *order // whose outputs are to be sent
	transfer  chan *order // at most one
	work      sync.WaitGroup
}

// alarm wakes a lane. It may ring before there is something to do: setting a
// timer back with each action would cost more than to look in vain.
type alarm struct {
	timer *time.Timer
	at    protocol.Time
}

func newGPU(a *agent, index int, device backend.Device) *gpu {
	info := device.Info()
	g := &gpu{
		agent:     a,
		index:     index,
		device:    device,
		info:      info,
		pages:     pages.New(info.Pages),
		weights:   map[string]backend.Weights{},
		orders:    map[executor.TaskID]*order{},
		stages:    make(chan *order, a.config.MaxQueued),
		execute:   make(chan *order, 1),
		finishing: make(chan *order, 64),
		transfer:  make(chan *order, 1),
	}
	for i, lane := range []*executor.Lane{&g.executions, &g.transfers} {
		g.alarms[i].at = protocol.Never
		g.alarms[i].timer = time.AfterFunc(time.Hour, func() {
			a.mu.Lock()
			defer a.unlock()
			g.alarms[i].at = protocol.Never
			g.step(lane, executor.Tick{})
		})
	}
	return g
}

// start begins to work on the device.
func (g *gpu) start() {
	g.work.Go(func() { each(g.stages, g.stage) })
	g.work.Go(func() {
		if g.info.Bind != nil {
			runtime.LockOSThread() // the thread ends with the goroutine
			if err := g.info.Bind(); err != nil {
				g.agent.bus.Log.Warn("a GPU executes wherever there is room", "gpu", g.index, "error", err)
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
	for i := range g.alarms {
		g.alarms[i].timer.Stop()
	}
	close(g.stages)
	close(g.execute)
	close(g.transfer)
	g.work.Wait()
}

func each(orders <-chan *order, do func(*order)) {
	for o := range orders {
		do(o)
	}
}

// step gives a lane an event and does what it says. The caller holds the lock.
func (g *gpu) step(lane *executor.Lane, e executor.Event) {
	for e != nil {
		out := lane.Step(clock.Now(), e)
		for _, x := range out.Expired {
			g.expired(x)
		}
		e = nil
		if out.Start != 0 {
			o := g.orders[out.Start]
			if refused := g.admit(o); refused != nil {
				delete(g.orders, o.task)
				g.agent.settle(o, refused)
				e = executor.Ended{}
			}
		}
		if e == nil {
			g.wake(lane, out.Wake)
		}
	}
}

// wake sees to it that a lane's alarm rings at an instant at the latest.
func (g *gpu) wake(lane *executor.Lane, at protocol.Time) {
	alarm := &g.alarms[0]
	if lane == &g.transfers {
		alarm = &g.alarms[1]
	}
	if at >= alarm.at { // it rings before, and is set anew then
		return
	}
	alarm.at = at
	alarm.timer.Reset(max(0, at.Sub(clock.Now())))
}

// expired answers an order that can no longer begin.
func (g *gpu) expired(x executor.Expired) {
	o := g.orders[x.ID]
	delete(g.orders, x.ID)
	if !x.Ready && o.missing > 0 {
		g.agent.settle(o, protocol.Errorf(protocol.InputMissing, "%d of %d inputs had not come at its latest begin", o.missing, len(o.action.Requests)))
		return
	}
	g.agent.settle(o, g.late(o))
}

func (g *gpu) late(o *order) *protocol.Error {
	return protocol.Errorf(protocol.TooLate, "GPU %d could not begin it by its latest; it is %v past that", g.index, clock.Now().Sub(o.latest))
}

// admit looks whether an order can begin now, and hands it over if so.
func (g *gpu) admit(o *order) *protocol.Error {
	if o.action.Kind == protocol.Infer {
		return g.admitInfer(o)
	}
	return g.admitTransfer(o)
}

// refuseAll answers everything that waits. The caller holds the lock.
func (g *gpu) refuseAll(why *protocol.Error) {
	for id, o := range g.orders {
		for _, lane := range []*executor.Lane{&g.executions, &g.transfers} {
			if lane.Has(id) {
				lane.Step(clock.Now(), executor.Withdrawn{ID: id})
				delete(g.orders, id)
				g.agent.settle(o, why)
			}
		}
	}
}

// settle ends an order, or the part of one that a GPU had.
func (a *agent) settle(o *order, refused *protocol.Error) {
	if o.part != nil {
		a.cleared(o, refused)
		return
	}
	a.answer(o, refused)
}
