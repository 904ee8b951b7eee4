package sched

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
)

// Some requests of a world are poison: whatever executes them ends, hangs or fails.

// poison is what a request does to what executes it.
type poison uint8

const (
	harmless poison = iota
	kills           // the executor, or the worker if it has none
	hangs           // the GPU, until the executor is ended, or for a while
	fails           // the whole batch
	unlucky         // nothing; but its executor is killed from outside when it executes first
)

// drawPoison makes a few requests poison, in worlds with faults.
func (w *world) drawPoison() poison {
	if n := w.poison.IntN(90); !w.healthy && n < 4 {
		return poison(1 + n)
	}
	return harmless
}

// poisoned reports whether a member of an action does this.
func (w *world) poisoned(a *protocol.Action, does poison) bool {
	return slices.ContainsFunc(a.Requests, func(ref protocol.RequestRef) bool { return w.requests[ref.ID].poison == does })
}

type poisonFaults struct{ ended, hung, failed, refused, quarantined, down, saved, killed, restarted int }

func (f *poisonFaults) add(g poisonFaults) {
	f.ended, f.hung, f.failed = f.ended+g.ended, f.hung+g.hung, f.failed+g.failed
	f.refused, f.quarantined, f.down, f.saved = f.refused+g.refused, f.quarantined+g.quarantined, f.down+g.down, f.saved+g.saved
	f.killed, f.restarted = f.killed+g.killed, f.restarted+g.restarted
}

// enough says what did not happen often enough.
func (f *poisonFaults) enough(policy string, worlds int) string {
	if f.ended < worlds/4 || f.hung < worlds/4 || f.refused < worlds/8 || f.down < worlds/4 || f.saved == 0 || f.killed < worlds/8 || f.restarted < worlds/4 ||
		policy == "clockwork" && (f.failed < worlds/20 || f.quarantined == 0) {
		return fmt.Sprintf("too little poison, the test proves nothing: %+v", *f)
	}
	return ""
}

// poisoned says how long an execution takes, and what becomes of its executor meanwhile.
func (h *host) poisoned(on *virtual.GPU, o *work.Order, takes time.Duration) time.Duration {
	w, a := h.world, &o.Action
	switch {
	case w.poisoned(a, kills):
		w.faults.ended++
		h.meanwhile(on, o, takes, func() {
			if h.executors {
				on.LoseExecutor(protocol.Refusal(protocol.ExecutorLost))
			} else {
				h.crashOfPoison()
			}
		})
	case h.executors && w.poisoned(a, unlucky) && w.requests[a.Requests[0].ID].strikes == 0:
		h.meanwhile(on, o, takes, func() { h.killExecutor(on) })
	case w.poisoned(a, hangs): // until the core finds it overdue, if there are executors
		w.faults.hung++
		return takes + time.Duration(float64(between(w.poison, time.Second, 3*time.Second))/on.Slow)
	}
	return takes
}

// loadEndsExecutor has an executor end during a load: it is killed from outside now and then,
// and the loads of a brittle model end it often.
func (h *host) loadEndsExecutor(on *virtual.GPU, o *work.Order, takes time.Duration) {
	w := h.world
	switch {
	case w.healthy || w.calm || !h.executors:
	case w.poison.IntN(25) == 0:
		h.meanwhile(on, o, takes, func() { h.killExecutor(on) })
	case o.Action.Model == w.brittle && w.poison.IntN(2) == 0:
		h.meanwhile(on, o, takes, func() { on.LoseExecutor(protocol.Refusal(protocol.ExecutorLost)) })
	}
}

func (h *host) killExecutor(of *virtual.GPU) {
	h.world.faults.killed++
	of.LoseExecutor(protocol.Refusal(protocol.ExecutorKilled))
}

// meanwhile does something in the middle of what takes so long, if that runs yet.
func (h *host) meanwhile(on *virtual.GPU, o *work.Order, takes time.Duration, do func()) {
	incarnation, id := h.Incarnation(), o.Action.ID
	h.world.after(takes/2, func() {
		if h.Incarnation() == incarnation && h.still(on.ID, id) {
			do()
		}
	})
}
