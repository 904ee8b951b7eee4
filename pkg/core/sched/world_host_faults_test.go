package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

func (h *host) lost(incarnation uint64) {
	h.world.step(&WorkerLost{ID: h.ID(), Incarnation: incarnation})
}

// crash ends an incarnation; the next one may begin before the end was noticed.
func (h *host) crash(length, notice time.Duration) {
	if h.down || h.cut {
		return
	}
	h.world.faults.crashes++
	old := h.Incarnation()
	h.down = true
	h.Restart(old + 1)
	h.begin()
	h.world.after(notice, func() { h.lost(old) })
	h.world.after(length, func() {
		h.down = false
		h.join()
	})
}

// cutOff keeps every message from a worker that lives on. If that is noticed,
// it comes back with the same incarnation and all it holds.
func (h *host) cutOff(length, notice time.Duration) {
	if h.down || h.cut {
		return
	}
	h.world.faults.cuts++
	h.cut, h.doubtful = true, true
	if h.world.faulty.IntN(2) == 0 { // its GPUs do what they had been told after it is back
		h.hang(length + notice)
	}
	noticed := notice < length
	if noticed {
		h.world.after(notice, func() { h.lost(h.Incarnation()) })
	}
	h.world.after(length, func() {
		h.cut = false
		if noticed {
			h.join()
		}
	})
}

// hang has the process stand still.
func (h *host) hang(length time.Duration) {
	h.world.faults.hangs++
	h.hung = max(h.hung, h.world.now.Add(length))
}

func (h *host) slowDown(length time.Duration, times float64) {
	h.world.faults.slow++
	h.setSlow(times)
	h.world.after(length, func() { h.setSlow(1) })
}

func (h *host) setSlow(times float64) {
	for _, g := range h.GPUs {
		g.Slow = times
	}
}

// crashOfPoison ends an incarnation by what it executes.
func (h *host) crashOfPoison() {
	w := h.world
	h.crash(between(w.poison, 10*time.Millisecond, 400*time.Millisecond), between(w.poison, time.Millisecond, 200*time.Millisecond))
}

// still reports whether a GPU executes an action yet, or transfers it.
func (h *host) still(gpu int, id protocol.ActionID) bool {
	execution, transfer := h.Core.Running(gpu)
	return !h.down && (execution != nil && execution.Action.ID == id || transfer != nil && transfer.Action.ID == id)
}
