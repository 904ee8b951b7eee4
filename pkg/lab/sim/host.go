package sim

import (
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/lab/hardware"
	"clockwork/pkg/protocol"
)

// model is a model of the workload with its execution and transfer times.
type model struct {
	protocol.ModelSpec
	Network  *zoo.Network
	measured *hardware.Model // nil if it was not measured on other hardware
}

// host is a worker with emulated GPUs, and the virtual.World of that worker.
type host struct {
	*virtual.Worker
	world *world
	uses  []Use       // by GPU
	clock *hostClock  // nil if all processes share one clock
	books []pageAudit // by GPU; nil unless Config.Thorough

	down            bool          // between two incarnations
	stopped, cutOff protocol.Time // until when
	// missed is when something happened last of which the scheduler may learn by heartbeats
	// alone, heard when the worker sent the last one that the scheduler got.
	missed, heard protocol.Time
	obeyed        uint64 // the epoch of its last transfer
}

// These are the assumed disk speeds for loading a model.
const (
	diskLatency   = 20 * time.Millisecond
	diskBandwidth = 1e9 // bytes per second
)

// newHost makes a worker. With Config.Resident its GPUs hold as many models as
// fit.
func (s *world) newHost(id string) *host {
	h := &host{world: s}
	config := work.Defaults()
	config.Name, config.Incarnation = id, 1
	config.Backend, config.BackendVersion = backend, zoo.Version
	for range s.config.GPUs {
		config.GPUs = append(config.GPUs, work.GPU{Type: gpuType, Pages: s.config.Pages, PageSize: s.config.PageSize})
	}
	h.Worker = virtual.New(config, h)
	for _, g := range h.GPUs {
		g.Fails, g.Restarts = h.poisonEnds, h.restarts
		h.uses = append(h.uses, Use{Name: g.String()})
	}
	h.fill()
	if s.config.Resident {
		for _, g := range h.GPUs {
			for i := range s.models {
				h.HoldOnGPU(g.ID, s.models[i].Name)
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

// fill puts the models into host memory. In a run with a startup the clients
// load the models instead, unless Config.Resident requires them at the start.
func (h *host) fill() {
	if h.world.config.Startup.On && !h.world.config.Resident {
		return
	}
	for i := range h.world.models {
		h.HoldInMemory(h.world.models[i].Path, h.world.models[i].Name)
	}
}

// state returns the worker's state as it would answer it.
func (h *host) state() protocol.WorkerState { return *h.Core.State() }

// silent reports whether no message leaves the worker.
func (h *host) silent() bool {
	return h.down || h.stopped > h.world.now || h.cutOff > h.world.now
}

// die ends an incarnation of the worker; the next one is not up yet.
func (h *host) die() {
	h.down, h.obeyed = true, 0
	h.Restart(h.Incarnation() + 1)
	h.fill()
	if h.books != nil {
		h.openBooks()
	}
}

// Now returns the time on the worker's clock.
func (h *host) Now() protocol.Time {
	if h.clock != nil {
		return h.clock.local(h.world.now)
	}
	return h.world.now
}

// Begins returns the duration of an order that starts.
func (h *host) Begins(o *work.Order, on *virtual.GPU) time.Duration {
	h.world.checkBegin(h, o, on)
	if on.Slow > 1 {
		h.world.report.Faults.Slowed++
	}
	if takes, endless := h.endless(o); endless {
		return takes
	}
	switch m := h.world.byName[o.Action.Model]; o.Action.Kind {
	case protocol.Infer:
		return h.world.jitter.execution(m, o.Action.Batch)
	case protocol.LoadWeights:
		return h.world.jitter.apply(m.Network.Transfer)
	}
	return 0
}

// Reads returns the model that a load reads from disk, and the time that takes.
func (h *host) Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	m := h.world.byName[load.Names[0]]
	if m == nil {
		return protocol.ModelSpec{}, diskLatency, protocol.Refusal(protocol.ModelNotFound)
	}
	return m.ModelSpec, diskLatency + time.Duration(float64(m.WeightsBytes)/diskBandwidth*1e9), nil
}

// After calls do on the worker after d.
func (h *host) After(d time.Duration, do func()) { h.world.later(d, do) }

// EndIn schedules the end of an order.
func (h *host) EndIn(d time.Duration, r *virtual.Run) {
	h.world.after(d, event{kind: ended, of: r})
}

// WakeIn schedules a wake-up of the worker's core. Whether the core still waits for it, the
// worker knows: the time of a load that is long done may be far ahead.
func (h *host) WakeIn(d time.Duration, _ *virtual.Worker, turn uint64) {
	if h.clock != nil {
		d = h.clock.span(d)
	}
	h.world.idle++
	h.world.after(d, event{kind: woken, of: h, seq: turn})
}

// Delivers sends the outputs of an Infer to the front door.
func (h *host) Delivers(o *work.Order) {
	if o.Action.Issuer == profilerIssuer {
		return
	}
	for _, ref := range o.Action.Requests {
		h.world.send(h, h.world.network.payload(o.Spec.OutputBytes()*int64(ref.Batch)), event{kind: answered, of: h, seq: keyOf(ref.ID), size: int32(ref.Batch)})
	}
}

// Answers sends a result to the issuer of the action and records the executed
// order.
func (h *host) Answers(r *protocol.Result, o *work.Order) {
	w, result := h.world, *r
	result.Worker = h.ID()
	if answer := w.pendingCalls[commandKey{r.Issuer, r.Action}]; answer != nil {
		if o != nil {
			w.checkDone(h, r, o)
		}
		w.sendCall(h, w.network.delay(), func() { answer(result) })
		return
	}
	if o != nil {
		w.checkDone(h, r, o)
		if r.Code == protocol.OK {
			h.uses[o.GPU].add(o)
			w.report.executed(h, o)
		} else {
			w.report.Failures[r.Code]++
		}
	}
	w.send(h, w.network.delay(), event{kind: reported, of: &result})
}

// commandKey identifies an action of the controller or the profiler.
type commandKey struct {
	issuer uint64
	id     protocol.ActionID
}

// command sends an action to a worker. answer is called with the result, if one
// arrives.
func (s *world) command(h *host, a protocol.Action, answer func(protocol.Result)) {
	s.pendingCalls[commandKey{a.Issuer, a.ID}] = answer
	s.send(h, s.network.delay(), event{kind: ordered, of: &sent{h, a}})
}

// sent is an action in transit to a worker.
type sent struct {
	to     *host
	action protocol.Action
}
