package sim

import (
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/lab/emulation"
	"clockwork/pkg/protocol"
)

// host is an emulated worker, and the world around it.
type host struct {
	*emulation.Worker
	world *world
	uses  []Use      // by GPU
	clock *hostClock // nil where there is one clock for all
	books []book     // by GPU; nil unless all is checked

	// memory are the models in host memory, disk is when each of its readers is
	// free, commands are the results of this life's, nil of those at work; of a
	// run with a startup.
	memory   map[string]bool
	disk     [concurrentLoads]protocol.Time
	commands map[commandKey]*protocol.Result

	down            bool          // between two lives
	stopped, cutOff protocol.Time // until when
}

// newHost makes a worker with its GPUs, which hold what fits if they are to.
func (s *world) newHost(id string) *host {
	h := &host{world: s, memory: map[string]bool{}, commands: map[commandKey]*protocol.Result{}}
	h.Worker = emulation.NewWorker(id, 1, h)
	for range s.config.GPUs {
		g := h.AddGPU(gpuType, s.config.Pages)
		h.uses = append(h.uses, Use{Name: g.String()})
		for i := range s.models {
			if s.config.Resident {
				g.Hold(s.models[i].Name, s.models[i].Pages)
			}
		}
	}
	if s.config.Thorough {
		h.openBooks()
	}
	s.hosts = append(s.hosts, h)
	s.byWorker[id] = h
	return h
}

// state is what the worker says of itself.
func (h *host) state() protocol.WorkerState {
	state := h.State()
	state.Backend, state.BackendVersion, state.PageSize = backend, zoo.Version, h.world.config.PageSize
	state.Models = h.world.specs
	if h.world.controller != nil {
		state.Models = h.inMemory()
	}
	return state
}

// silent reports whether nothing is heard of the worker.
func (h *host) silent() bool {
	return h.down || h.stopped > h.world.now || h.cutOff > h.world.now
}

// die ends a life of the worker; its next one has not begun to speak.
func (h *host) die() {
	h.down = true
	h.Restart(h.Incarnation + 1)
	clear(h.memory)
	clear(h.commands)
	h.disk = [concurrentLoads]protocol.Time{}
	if h.clock != nil {
		h.clock.estimate = clocksync.Offset{}
	}
	if h.books != nil {
		h.openBooks()
	}
}

// Now is the time on the worker's clock.
func (h *host) Now() protocol.Time {
	if h.clock != nil {
		return h.clock.local(h.world.now)
	}
	return h.world.now
}

// receive has an action at the worker, whose window it converts to its clock.
func (h *host) receive(o *emulation.Order) {
	if h.clock != nil && o.Action.Epoch != 0 {
		o.Earliest, o.Latest = h.clock.estimate.Local(o.Action.Earliest), h.clock.estimate.Local(o.Action.Latest)
	}
	h.Receive(o)
}

// Begins says how long an order takes.
func (h *host) Begins(o *emulation.Order) time.Duration {
	h.world.checkBegin(h, o)
	if o.GPU.Slow > 1 {
		h.world.report.Faults.Slowed++
	}
	switch o.Action.Kind {
	case protocol.Infer:
		return h.world.noise.apply(o.Model.Network.Execution(o.Action.Batch))
	case protocol.LoadWeights:
		return h.world.noise.apply(o.Model.Network.Transfer)
	}
	return 0
}

// EndIn puts into the calendar when a GPU is done with an order.
func (h *host) EndIn(d time.Duration, o *emulation.Order) {
	h.world.after(d, event{kind: ended, of: o})
}

// WakeIn puts into the calendar when a lane wants to be woken.
func (h *host) WakeIn(d time.Duration, g *emulation.GPU, lane int) {
	if h.clock != nil {
		d = h.clock.span(d)
	}
	h.world.after(d, event{kind: woken, of: g, lane: uint8(lane)})
}

// Done sends an order's result, and the outputs of one that went well.
func (h *host) Done(o *emulation.Order) {
	w := h.world
	if h.clock != nil && o.Action.Epoch != 0 {
		for _, t := range []*protocol.Time{&o.Received, &o.Begin, &o.End, &o.Sent} {
			*t = h.clock.estimate.Remote(*t)
		}
	}
	w.checkDone(h, o)
	if o.Action.Issuer == profilerIssuer {
		w.sendCall(h, w.link.delay(), func() { w.controller.profiler.result(o) })
		return
	}
	if o.Code == protocol.OK {
		h.uses[o.GPU.ID].add(o)
		w.report.executed(o)
	} else {
		w.report.Failures[o.Code]++
	}
	h.Again(o)
	if o.Code != protocol.OK || o.Action.Kind != protocol.Infer {
		return
	}
	for _, ref := range o.Action.Requests {
		slot, life := where(ref.ID)
		w.send(h, w.link.payload(o.Model.OutputBytes()*int64(ref.Batch)), event{kind: answered, slot: slot, life: life, of: o})
	}
}

// Again sends the result alone.
func (h *host) Again(o *emulation.Order) {
	h.world.send(h, h.world.link.delay(), event{kind: reported, of: o})
}
