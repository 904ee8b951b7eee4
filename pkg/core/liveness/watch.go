package liveness

import (
	"cmp"
	"slices"

	"clockwork/pkg/protocol"
)

// MaxInstances bounds the instances that a Watch follows; heartbeats of further
// instances are ignored.
const MaxInstances = 16384

// LostTicks is how many ticks without a heartbeat an instance may miss; with one
// more it is lost. A tick comes every protocol.HeartbeatEvery.
const LostTicks = int(protocol.HeartbeatLost / protocol.HeartbeatEvery)

// Watch follows the instances of one kind of service. An instance is lost after
// more than LostTicks ticks without a heartbeat, or when its id sends a
// heartbeat with a new incarnation. The zero value follows no instance.
type Watch struct {
	alive map[string]instance // by id; at most MaxInstances
}

type instance struct {
	beat   protocol.Heartbeat // the last heartbeat
	heard  bool               // at least once; otherwise it is only expected
	silent int                // ticks since the last heartbeat
}

// Change is what a heartbeat, or its absence, says of who is there.
type Change struct {
	// Heartbeat is the first one of an incarnation that is There, the last one of one that
	// is lost. One that is heard again after its loss is There again.
	protocol.Heartbeat
	There bool
}

// Beat takes a heartbeat and returns what changes with it: the incarnation that a new one
// replaces is lost first. Most heartbeats change nothing. followed is false if the Watch
// is full.
func (w *Watch) Beat(h protocol.Heartbeat) (changes []Change, followed bool) {
	was, known := w.alive[h.ID]
	if !known && len(w.alive) >= MaxInstances {
		return nil, false
	}
	w.put(h, true)
	replaces := known && was.beat.Incarnation != h.Incarnation
	if replaces {
		changes = append(changes, Change{was.beat, false})
	}
	if replaces || !was.heard {
		changes = append(changes, Change{h, true})
	}
	return changes, true
}

// Expect adds an instance as if its heartbeat had just arrived, unless the Watch
// already follows it. The instance is lost if no heartbeat comes.
func (w *Watch) Expect(h protocol.Heartbeat) {
	if _, known := w.alive[h.ID]; !known && len(w.alive) < MaxInstances {
		w.put(h, false)
	}
}

func (w *Watch) put(h protocol.Heartbeat, heard bool) {
	if w.alive == nil {
		w.alive = map[string]instance{}
	}
	w.alive[h.ID] = instance{beat: h, heard: heard}
}

// Tick advances every instance by one tick and returns those that are thereby lost,
// sorted by id.
func (w *Watch) Tick() (lost []Change) {
	for id, a := range w.alive {
		if a.silent++; a.silent > LostTicks {
			lost = append(lost, Change{a.beat, false})
			delete(w.alive, id)
			continue
		}
		w.alive[id] = a
	}
	slices.SortFunc(lost, func(a, b Change) int { return byID(a.Heartbeat, b.Heartbeat) })
	return lost
}

// Alive returns the last heartbeat of every live instance, sorted by id.
func (w *Watch) Alive() []protocol.Heartbeat {
	beats := make([]protocol.Heartbeat, 0, len(w.alive))
	for _, a := range w.alive {
		beats = append(beats, a.beat)
	}
	slices.SortFunc(beats, byID)
	return beats
}

func byID(a, b protocol.Heartbeat) int { return cmp.Compare(a.ID, b.ID) }
