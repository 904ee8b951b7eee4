package scheduler

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// The workers of a term: they join as their clocks are known, and are lost when
// their heartbeats say so.

// synced is a worker's last word on its clock.
type synced struct{ incarnation, epoch uint64 }

// admit lets workers whose clocks are known into the core, and declares the
// scheduler active once all are there or clockWait is over.
func (t *term) admit() {
	if !t.started || t.beat == nil || len(t.joining) == 0 && t.active.Load() {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(t.joining)) {
		w := t.joining[id]
		if s := t.synced[id]; s.incarnation == w.Incarnation && s.epoch == t.epoch.Load() {
			delete(t.joining, id)
			t.members[id] = w.Incarnation
			w.Models = t.models
			t.bus.Log.Info("worker joined", "worker", id, "gpus", len(w.GPUs), "workers", len(t.members))
			t.step(&sched.WorkerJoined{State: w})
		}
	}
	if !t.active.Load() && (len(t.joining) == 0 || time.Now().After(t.waitFor)) {
		t.active.Store(true)
		t.beat()
		t.bus.Log.Info("active", "epoch", t.epoch.Load(), "workers", len(t.members))
	}
}

// onClock tells a worker the time.
func (t *term) onClock(m *nats.Msg) {
	reading := protocol.ClockReading{Epoch: t.epoch.Load(), Now: clock.Now()}
	if err := m.Respond(wire.Clock.Encode(&reading)); err != nil {
		t.bus.Log.Debug("time not told", "error", err) // it asks again
	}
}

func (t *term) onStart(m *nats.Msg) {
	state, whole, fault := t.starts.Add(m.Data)
	if fault != nil {
		t.bus.Log.Warn("bad start", "error", fault)
	}
	if !whole {
		return
	}
	t.locked(func() { t.activate(state) })
}

func (t *term) onJoin(m *nats.Msg) {
	w, whole, fault := t.joins.Add(m.Data)
	if fault != nil {
		t.bus.Log.Warn("bad join", "error", fault)
	}
	if !whole {
		return
	}
	t.locked(func() { t.join(w) })
	if m.Reply == "" {
		return
	}
	noted := t.heartbeat() // its epoch is what counts
	if err := m.Respond(wire.Heartbeat.Encode(&noted)); err != nil {
		t.bus.Log.Debug("join not confirmed", "worker", w.ID, "error", err) // it is told of again
	}
}

// activate begins the epoch. Its workers join as their clocks are known.
func (t *term) activate(state protocol.ClockworkState) {
	if t.started {
		if !sameModels(t.models, state.Models) { // the store was lost, and the stack began anew
			t.resign("the stack serves other models now")
			return
		}
		for _, w := range state.Workers { // it was sent again, and may name one of whom no message came
			t.join(w)
		}
		return
	}
	t.started, t.waitFor, t.models = true, time.Now().Add(clockWait), state.Models
	for _, w := range state.Workers {
		if w.Epoch >= t.epoch.Load() && w.Epoch < math.MaxUint64 { // the lease's store was lost; workers remember
			t.epoch.Store(w.Epoch + 1)
		}
	}
	for _, w := range state.Workers {
		t.joining[w.ID] = w
	}
	state.Workers = nil
	t.bus.Log.Info("activated", "epoch", t.epoch.Load(), "models", len(state.Models), "workers", len(t.joining))
	t.step(&sched.Activate{Epoch: t.epoch.Load(), Issuer: t.issuer, State: state})
}

// sameModels compares by name and digest; both are ordered by name.
func sameModels(a, b []protocol.ModelSpec) bool {
	return slices.EqualFunc(a, b, func(x, y protocol.ModelSpec) bool { return x.Name == y.Name && x.Digest == y.Digest })
}

// join takes note of a worker; news only if it is another life.
func (t *term) join(w protocol.WorkerState) {
	if incarnation, member := t.members[w.ID]; !member || incarnation != w.Incarnation {
		t.joining[w.ID] = w
	}
}

func (t *term) workerBeat(ctx context.Context, h protocol.Heartbeat) {
	t.synced[h.ID] = synced{h.Incarnation, h.ClockEpoch}
	if h.State == protocol.Stopping {
		t.workerStops(h)
		return
	}
	if incarnation, away := t.away[h.ID]; away {
		delete(t.away, h.ID)
		if incarnation == h.Incarnation {
			t.asking.Go(func() { t.ask(ctx, h) })
		}
	}
}

// ask takes a worker back that was silent and lives on. The controller may not
// have missed it, so nobody else would bring it back.
func (t *term) ask(ctx context.Context, h protocol.Heartbeat) {
	r, err := t.caller.Do(ctx, h.ID, protocol.Action{Kind: protocol.GetWorkerState, Incarnation: h.Incarnation, Latest: protocol.Never})
	t.locked(func() {
		_, waits := t.joining[h.ID]
		switch {
		case waits: // the controller was faster
		case err == nil && r.State != nil && r.State.Incarnation == h.Incarnation:
			t.join(*r.State)
		default:
			t.away[h.ID] = h.Incarnation // its next heartbeat asks again
		}
	})
}

// workerStops lets a worker go that was told to stop, once it has finished what
// it was given: what it is given after that is not begun.
func (t *term) workerStops(h protocol.Heartbeat) {
	if h.InFlight > 0 {
		return
	}
	if t.joining[h.ID].Incarnation == h.Incarnation {
		delete(t.joining, h.ID)
	}
	if t.remove(h) {
		t.bus.Log.Info("worker left", "worker", h.ID, "workers", len(t.members))
	}
	if t.away[h.ID] == h.Incarnation {
		delete(t.away, h.ID)
	}
}

func (t *term) workerLost(h protocol.Heartbeat) {
	delete(t.synced, h.ID)
	delete(t.away, h.ID)
	if w, waits := t.joining[h.ID]; waits && w.Incarnation == h.Incarnation {
		delete(t.joining, h.ID)
		t.away[h.ID] = h.Incarnation
	}
	if t.remove(h) {
		t.bus.Log.Warn("worker lost; its requests are planned anew", "worker", h.ID, "workers", len(t.members))
		t.away[h.ID] = h.Incarnation
	}
}

// remove takes this life of a worker out of the core, if it is there.
func (t *term) remove(h protocol.Heartbeat) bool {
	if t.members[h.ID] != h.Incarnation {
		return false
	}
	delete(t.members, h.ID)
	delete(t.workers, h.ID)
	t.step(&sched.WorkerLost{ID: h.ID, Incarnation: h.Incarnation})
	return true
}
