package liveness

import (
	"cmp"
	"slices"

	"clockwork/pkg/protocol"
)

// MaxInstances bounds the instances that a Watch follows; the heartbeats of more
// are ignored.
const MaxInstances = 16384

// LostTicks is how many ticks without a heartbeat an instance may miss: with one
// more it is lost. A tick comes every protocol.HeartbeatEvery.
const LostTicks = int(protocol.HeartbeatLost / protocol.HeartbeatEvery)

// Watch follows the instances of one kind of service. An instance is lost when it
// was silent for more than LostTicks ticks, or when the same id beats with a new
// incarnation. The zero value follows nobody yet.
type Watch struct {
	alive map[string]instance // by id; at most MaxInstances
}

type instance struct {
	beat   protocol.Heartbeat // the last one
	silent int                // ticks since then
}

// Beat takes a heartbeat. Where it is of a new incarnation, replaced is the last
// heartbeat of the one that is lost by it. It is not followed where too many are.
func (w *Watch) Beat(h protocol.Heartbeat) (replaced *protocol.Heartbeat, followed bool) {
	was, known := w.alive[h.ID]
	if !known && len(w.alive) >= MaxInstances {
		return nil, false
	}
	w.put(h)
	if known && was.beat.Incarnation != h.Incarnation {
		return &was.beat, true
	}
	return nil, true
}

// Expect counts an instance as heard now, if it was not heard yet: it is lost when
// no heartbeat follows.
func (w *Watch) Expect(h protocol.Heartbeat) {
	if _, known := w.alive[h.ID]; !known && len(w.alive) < MaxInstances {
		w.put(h)
	}
}

func (w *Watch) put(h protocol.Heartbeat) {
	if w.alive == nil {
		w.alive = map[string]instance{}
	}
	w.alive[h.ID] = instance{beat: h}
}

// Tick counts for everyone, and returns the last heartbeats of those who are lost
// by it, in the order of their ids.
func (w *Watch) Tick() (lost []protocol.Heartbeat) {
	for id, a := range w.alive {
		if a.silent++; a.silent > LostTicks {
			lost = append(lost, a.beat)
			delete(w.alive, id)
			continue
		}
		w.alive[id] = a
	}
	slices.SortFunc(lost, byID)
	return lost
}

// Alive returns the last heartbeat of every living instance, in the order of their
// ids.
func (w *Watch) Alive() []protocol.Heartbeat {
	beats := make([]protocol.Heartbeat, 0, len(w.alive))
	for _, a := range w.alive {
		beats = append(beats, a.beat)
	}
	slices.SortFunc(beats, byID)
	return beats
}

func byID(a, b protocol.Heartbeat) int { return cmp.Compare(a.ID, b.ID) }
