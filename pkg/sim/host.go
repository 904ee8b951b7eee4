package sim

import (
	"time"

	"clockwork/pkg/emulation"
	"clockwork/pkg/protocol"
)

// host is an emulated worker, and the world around it.
type host struct {
	*emulation.Worker
	world *world
	uses  []Use // by GPU
}

// newHost makes a worker with its GPUs, which hold what fits if they are to.
func (s *world) newHost(id string) *host {
	h := &host{world: s}
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
	s.hosts = append(s.hosts, h)
	s.byWorker[id] = h
	return h
}

// state is what the worker says of itself.
func (h *host) state() protocol.WorkerState {
	state := h.State()
	state.PageSize, state.Models = h.world.config.PageSize, h.world.specs
	return state
}

// Now is the time on the worker's clock.
func (h *host) Now() protocol.Time { return h.world.now }

// Begins says how long an order takes.
func (h *host) Begins(o *emulation.Order) time.Duration {
	switch o.Action.Kind {
	case protocol.Infer:
		return h.world.noise.apply(o.Model.Network.Execution(o.Action.Batch))
	case protocol.LoadWeights:
		return h.world.noise.apply(o.Model.Network.Transfer)
	}
	return 0
}

// EndIn and WakeIn put into the calendar what a GPU waits for.
func (h *host) EndIn(d time.Duration, o *emulation.Order) {
	h.world.after(d, event{kind: ended, of: o})
}

// WakeIn is of a lane.
func (h *host) WakeIn(d time.Duration, g *emulation.GPU, lane int) {
	h.world.after(d, event{kind: woken, of: g, lane: uint8(lane)})
}

// Done sends an order's result, and the outputs of one that went well.
func (h *host) Done(o *emulation.Order) {
	w := h.world
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
		w.after(w.link.payload(o.Model.OutputBytes()*int64(ref.Batch)), event{kind: answered, slot: slot, life: life, of: o})
	}
}

// Again sends the result alone.
func (h *host) Again(o *emulation.Order) {
	h.world.after(h.world.link.delay(), event{kind: reported, of: o})
}
