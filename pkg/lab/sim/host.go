package sim

import (
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/core/work"
	"clockwork/pkg/lab/virtual"
	"clockwork/pkg/protocol"
)

// model is a model of the workload, with the times that the zoo has of it.
type model struct {
	protocol.ModelSpec
	Network *zoo.Network
}

// host is a worker whose GPUs are emulated, and the world around it.
type host struct {
	*virtual.Worker
	world *world
	uses  []Use       // by GPU
	clock *hostClock  // nil where there is one clock for all
	books []pageAudit // by GPU; nil unless all is checked

	down            bool          // between two incarnations
	stopped, cutOff protocol.Time // until when
}

// How long it takes to read a model from disk.
const (
	diskLatency   = 20 * time.Millisecond
	diskBandwidth = 1e9 // bytes a second
)

// newHost makes a worker with its GPUs, which hold what fits if they are to.
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

// fill puts the models into host memory; in a run with a startup they are loaded, and
// only those are there that a worker would have to have for its GPUs.
func (h *host) fill() {
	if h.world.config.Startup.On && !h.world.config.Resident {
		return
	}
	for i := range h.world.models {
		h.HoldInMemory(h.world.models[i].Path, h.world.models[i].Name)
	}
}

// state is what the worker says of itself.
func (h *host) state() protocol.WorkerState { return *h.Core.State() }

// silent reports whether nothing is heard of the worker.
func (h *host) silent() bool {
	return h.down || h.stopped > h.world.now || h.cutOff > h.world.now
}

// die ends an incarnation of the worker; its next one has not begun to speak.
func (h *host) die() {
	h.down = true
	h.Restart(h.Incarnation() + 1)
	h.fill()
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

// Begins says how long an order takes.
func (h *host) Begins(o *work.Order, on *virtual.GPU) time.Duration {
	h.world.checkBegin(h, o, on)
	if on.Slow > 1 {
		h.world.report.Faults.Slowed++
	}
	switch network := h.world.byName[o.Action.Model].Network; o.Action.Kind {
	case protocol.Infer:
		return h.world.jitter.apply(network.Execution(o.Action.Batch))
	case protocol.LoadWeights:
		return h.world.jitter.apply(network.Transfer)
	}
	return 0
}

// Reads says what a load reads from disk.
func (h *host) Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	m := h.world.byName[load.Names[0]]
	if m == nil {
		return protocol.ModelSpec{}, diskLatency, protocol.Refusal(protocol.ModelNotFound)
	}
	return m.ModelSpec, diskLatency + time.Duration(float64(m.WeightsBytes)/diskBandwidth*1e9), nil
}

// After does something on the worker later.
func (h *host) After(d time.Duration, do func()) { h.world.later(d, do) }

// EndIn puts into the calendar when a GPU is done with an order.
func (h *host) EndIn(d time.Duration, r *virtual.Run) {
	h.world.after(d, event{kind: ended, of: r})
}

// WakeIn puts into the calendar when the worker's core wants to be woken.
func (h *host) WakeIn(d time.Duration, _ *virtual.Worker) {
	if h.clock != nil {
		d = h.clock.span(d)
	}
	h.world.after(d, event{kind: woken, of: h})
}

// Delivers sends the outputs of an Infer to the front door.
func (h *host) Delivers(o *work.Order) {
	if o.Action.Issuer == profilerIssuer {
		return
	}
	for _, ref := range o.Action.Requests {
		h.world.send(h, h.world.network.payload(o.Spec.OutputBytes()*int64(ref.Batch)), event{kind: answered, of: h, seq: ref.ID.Seq, size: int32(ref.Batch)})
	}
}

// Answers sends a result to whoever asked for it, and takes note of what ran.
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
			h.uses[o.GPU()].add(o)
			w.report.executed(h, o)
		} else {
			w.report.Failures[r.Code]++
		}
	}
	w.send(h, w.network.delay(), event{kind: reported, of: &result})
}

// commandKey names an action of the controller or the profiler.
type commandKey struct {
	issuer uint64
	id     protocol.ActionID
}

// command sends an action to a worker; answer has the result, if it comes back.
func (s *world) command(h *host, a protocol.Action, answer func(protocol.Result)) {
	s.pendingCalls[commandKey{a.Issuer, a.ID}] = answer
	s.send(h, s.network.delay(), event{kind: ordered, of: &sent{h, a}})
}

// sent is an action on its way to a worker.
type sent struct {
	to     *host
	action protocol.Action
}
