package sched

import (
	"fmt"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
)

// host is a worker's process. The worker itself is the core of all workers (package work)
// with GPUs in virtual time; the host is what is around it: it says how long things take, and
// carries messages. What it sees of the GPUs it keeps in books of its own.
type host struct {
	*virtual.Worker
	world *world
	kind  string // of its GPUs
	books []*gpuBook
	// down: between two incarnations. cut: no message arrives or leaves.
	down, cut bool
	hung      protocol.Time // the process stands still until then
	// doubtful: in this incarnation it was cut off, or an executor ended, so the core may send
	// work for weights that are not there.
	doubtful  bool
	executors bool // each GPU has a process of its own
}

// newHost makes a worker with empty GPUs.
func (w *world) newHost(id string) *host {
	h := &host{world: w, kind: []string{"t4", "t4", "p4"}[w.setup.IntN(3)], executors: w.poison.IntN(2) == 0}
	c := work.Defaults()
	c.Name, c.Incarnation, c.GenerateInputs = id, 1, true
	c.StallAfter = between(w.poison, 100*time.Millisecond, 300*time.Millisecond)
	if h.executors { // only executors can be ended
		c.Overdue = work.Overdue{Factor: 1, Floor: between(w.poison, 300*time.Millisecond, 900*time.Millisecond), Unmeasured: time.Second}
	}
	pages := 4 + w.setup.IntN(10)
	for range 1 + w.setup.IntN(2) {
		c.GPUs = append(c.GPUs, work.GPU{Type: h.kind, Pages: pages})
	}
	h.Worker = virtual.New(c, h)
	for _, g := range h.GPUs {
		g.Fails, g.Restarts = h.fails, func() time.Duration { return h.restarts(g) }
	}
	h.begin()
	return h
}

// begin is what each incarnation begins with: all models in host memory, nothing on the GPUs.
func (h *host) begin() {
	h.books, h.doubtful = nil, false
	for _, g := range h.GPUs {
		h.books = append(h.books, newGPUBook(h, g.ID))
	}
	for _, m := range h.world.specs {
		h.HoldInMemory(m.Name, m.Name)
	}
}

// join tells the core what is here; the news takes a while.
func (h *host) join() {
	if h.down || h.cut {
		return
	}
	state := *h.Core.State()
	h.world.after(between(h.world.setup, 0, 5*time.Millisecond), func() {
		if h.world.known[h.ID()] <= state.Incarnation { // the term drops older news
			state.Models = h.world.present()
			delete(h.world.sets.apart, h.ID())
			h.world.step(&WorkerJoined{State: state})
			h.beat()
		}
	})
}

// beat is a heartbeat that arrives: of a worker that the core knows.
func (h *host) beat() {
	w := h.world
	if h.down || h.cut || h.hung > w.now {
		return
	}
	h.Step(&work.Tick{}) // as the service does with each heartbeat
	if w.known[h.ID()] == h.Incarnation() {
		w.step(&GPUHealth{ID: h.ID(), Incarnation: h.Incarnation(), GPUs: h.Core.Heartbeat().GPUs})
	}
}

// beatOn sends heartbeats until all that was planned is over.
func (h *host) beatOn() {
	h.beat()
	if h.world.now < protocol.Time(busyFor+beatFor) {
		h.world.after(protocol.HeartbeatEvery, h.beatOn)
	}
}

// whenAwake does something for this incarnation of the worker, once it does not hang.
func (h *host) whenAwake(d time.Duration, do func()) {
	incarnation := h.Incarnation()
	h.world.after(d, func() {
		switch {
		case h.Incarnation() != incarnation:
		case h.hung > h.world.now:
			h.whenAwake(h.hung.Sub(h.world.now), do)
		default:
			do()
		}
	})
}

// receive takes an action off the network.
func (h *host) receive(a protocol.Action) {
	if !h.down {
		h.whenAwake(0, func() { h.Receive(a) })
	}
}

// receiveInput takes the input of a request off the network.
func (h *host) receiveInput(id protocol.RequestID, bytes int64) {
	if !h.down {
		h.whenAwake(0, func() { h.Input(id, bytes) })
	}
}

// Now is the time of all clocks.
func (h *host) Now() protocol.Time { return h.world.now }

// Begins says how long an order takes, and lets poison have its way.
func (h *host) Begins(o *work.Order, on *virtual.GPU) time.Duration {
	h.books[on.ID].began(o)
	w := h.world
	jitter := time.Duration(w.worker.IntN(300)) * time.Microsecond
	if o.Action.Kind == protocol.EvictWeights {
		return jitter / 10
	}
	takes := max(time.Microsecond, o.Action.Expected-150*time.Microsecond+jitter)
	if o.Action.Kind == protocol.LoadWeights {
		h.loadEndsExecutor(on, o, takes)
		return takes
	}
	return h.poisoned(on, o, takes)
}

// fails says how what ends now fails, nil if it does not.
func (h *host) fails(o *work.Order) *protocol.Error {
	w, a := h.world, &o.Action
	if a.Kind == protocol.Infer && w.poisoned(a, fails) {
		if len(a.Requests) > 1 {
			w.faults.failed++
		}
		return protocol.Refusal(protocol.BackendError)
	}
	if w.healthy || w.calm || w.worker.IntN(40) > 0 {
		return nil
	}
	return protocol.Refusal([]protocol.Code{protocol.BackendError, protocol.NoMemory, protocol.InvalidInput}[w.worker.IntN(3)])
}

// restarts says how long the next executor of a GPU takes to start; the last one has ended.
func (h *host) restarts(g *virtual.GPU) time.Duration {
	h.books[g.ID].lost()
	return between(h.world.poison, 10*time.Millisecond, 200*time.Millisecond)
}

// Reads finds a model on the disk at once.
func (h *host) Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	return *h.world.spec(load.Names[0]), 0, nil
}

// After has the process do something later.
func (h *host) After(d time.Duration, do func()) { h.whenAwake(d, do) }

// EndIn has a run end.
func (h *host) EndIn(d time.Duration, r *virtual.Run) { h.whenAwake(d, func() { h.End(r) }) }

// WakeIn wakes the worker's core.
func (h *host) WakeIn(d time.Duration, _ *virtual.Worker, turn uint64) {
	h.whenAwake(d, func() { h.Wake(turn) })
}

// Delivers has nobody to deliver to: the world reads results.
func (h *host) Delivers(*work.Order) {}

// Answers sends a result to the core. What it says of a failure is marked, so that the world
// sees who reads it.
func (h *host) Answers(r *protocol.Result, o *work.Order) {
	if o != nil && o.GPU >= 0 {
		h.books[o.GPU].ended(r, o)
	}
	result := *r
	result.Worker = h.ID()
	if r.Code != protocol.OK {
		result.Message = secret(r.Action)
	}
	if o != nil && r.Kind == protocol.Infer && r.Code == protocol.OK {
		h.world.claim(h.world.open[r.Action].Requests)
	}
	h.world.carry(h, func() { h.world.step(&Result{result}) })
}

// secret is in the message of a failed action, and may be seen by its only member alone.
func secret(id protocol.ActionID) string { return fmt.Sprintf("secret-%d-", id) }
