package work

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// A GPU may be executed for by a process of its own, its executor. When the process ends,
// the weights that it held are gone, what it executed or copied ends with EXECUTOR_LOST, or
// with EXECUTOR_KILLED if it was killed from outside, and the GPU is down until the next
// process is ready. A backend without such processes never reports one.

// has reports whether the worker has a GPU of this index.
func (w *Worker) has(gpu int) bool { return gpu >= 0 && gpu < len(w.gpus) }

// begun notes when an order began, and with which executor.
func (g *gpu) begun(o *Order) {
	o.started, o.executor = g.worker.now, g.executor
	g.expect(o)
}

// executorLost drops the weights that a process held, once for each process.
func (g *gpu) executorLost(number uint32) {
	if number < g.executor {
		return
	}
	g.executor = number + 1
	g.pages.Lose()
	g.restarts()
}

// lostWith takes an order's EXECUTOR_LOST or EXECUTOR_KILLED as a report about the process
// with which the order began; the driver's own report may come later.
func (g *gpu) lostWith(o *Order, refusal *protocol.Error) {
	if refusal != nil && refusal.Code.LosesExecutor() {
		g.executorLost(o.executor)
	}
}

// notBlamed replaces such a code where the order did not execute when the process ended:
// its inputs or outputs were being copied. Only what executed may have ended the process.
func notBlamed(refusal *protocol.Error) *protocol.Error {
	if refusal.Code.LosesWeights() {
		return protocol.Errorf(protocol.Cancelled, "the executor ended before the action's inputs or outputs were copied")
	}
	return refusal
}

// stalled says why a GPU gets nothing done, "" if it does. An execution of unknown duration
// does not count.
func (g *gpu) stalled() string {
	if g.down {
		return g.restarting()
	}
	o := g.orders[g.executions.Running()]
	if o == nil || o.Action.Expected <= 0 {
		return ""
	}
	since := g.worker.now.Sub(o.started)
	if since <= o.Action.Expected+g.worker.config.StallAfter {
		return ""
	}
	return fmt.Sprintf("executes %s for %v, expected %v", o.Action.Model, since.Round(time.Millisecond), o.Action.Expected.Round(10*time.Microsecond))
}

// AllStalled reports whether no GPU gets anything done, as of the last step.
func (w *Worker) AllStalled() bool {
	for _, g := range w.gpus {
		if g.stalled() == "" {
			return false
		}
	}
	return len(w.gpus) > 0
}

// beats returns the GPUs' part of the heartbeat, nil if there is nothing to say.
func (w *Worker) beats() []protocol.GPUBeat {
	beats, said := make([]protocol.GPUBeat, len(w.gpus)), false
	for i, g := range w.gpus {
		beats[i] = protocol.GPUBeat{Stalled: g.stalled() != "", Restarting: g.down, Executor: g.executor}
		said = said || beats[i] != protocol.GPUBeat{}
	}
	if !said {
		return nil
	}
	return beats
}
