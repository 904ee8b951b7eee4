package work

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// endExecutor ends the process that executes for a GPU. What the driver owes for it ends
// with EXECUTOR_LOST, or went well just before. The driver's report of the end comes
// before those ends or after them, sometimes twice; then the next process is ready.
func (w *world) endExecutor(gpu int) {
	if w.processes[gpu] != w.told[gpu] {
		return // the last end is not reported yet
	}
	w.happened["executor ended"]++
	number, idle := w.processes[gpu], true
	w.processes[gpu]++
	report := w.millis(0, 6)
	for i := range w.coming {
		a := &w.coming[i]
		if a.driver == 0 || !w.fails(a.event, gpu) {
			continue
		}
		idle = false
		a.at = w.now.Add(w.millis(0, 6))
		if a.at > w.now.Add(report) {
			w.happened["executor reported first"]++
		}
	}
	if idle {
		w.happened["executor ended idle"]++
	}
	w.after(report, w.config.Incarnation, &ExecutorLost{GPU: gpu, Executor: number})
	if w.one(4) {
		w.after(report+w.millis(0, 30), w.config.Incarnation, &ExecutorLost{GPU: gpu, Executor: number})
	}
	w.start(gpu, report+w.millis(7, 60))
}

// fails turns what the driver owes for a GPU into the failure of its process, now and then
// into a success of the last moment; it reports whether that is so.
func (w *world) fails(e Event, gpu int) bool {
	refusal := protocol.Refusal(protocol.ExecutorLost)
	if w.processes[gpu]%3 == 1 {
		refusal = protocol.Refusal(protocol.ExecutorKilled)
	}
	last := w.one(5) // it ended just before the process did
	switch e := e.(type) {
	case *Staged:
		if e.Order.GPU == gpu && !last {
			e.Refusal = refusal
		}
		return e.Order.GPU == gpu
	case *Executed:
		if e.Order.GPU == gpu && !last {
			e.Refusal, e.End = refusal, w.now
		}
		return e.Order.GPU == gpu
	case *Fetched:
		if e.Order.GPU == gpu && !last {
			e.Refusal = refusal
		}
		return e.Order.GPU == gpu
	case *Transferred:
		if e.Order.GPU != gpu {
			return false
		}
		if e.Order.Action.Kind == protocol.LoadWeights && last && e.Refusal == nil {
			w.happened["loaded by one that ended"]++
		} else if e.Order.Action.Kind == protocol.LoadWeights {
			e.Refusal = refusal
		}
		return true
	}
	return false
}

// ended reports whether the process with which an order began has ended: the driver
// answers such orders at once, and what they ask for is not done by the next process.
func (w *world) ended(gpu int) bool { return w.processes[gpu] != w.told[gpu] }

// lose notes that the weights on a GPU are gone, as the driver or the end of an order says.
func (c *checker) lose(gpu int, executor uint32) {
	g := &c.gpus[gpu]
	if executor < g.executor {
		return
	}
	g.executor = executor + 1
	g.start.begins(c.now)
	if g.executor > c.world.told[gpu] {
		c.world.told[gpu] = g.executor
	}
	for name, held := range g.weights {
		held.lost = true
		if held.loaded && !held.evicting && held.users == 0 {
			delete(g.weights, name)
		}
	}
}

// lostWith is what the EXECUTOR_LOST of an order says of its GPU.
func (c *checker) lostWith(o *Order, refusal *protocol.Error) {
	if refusal != nil && (refusal.Code == protocol.ExecutorLost || refusal.Code == protocol.ExecutorKilled) {
		c.lose(o.GPU, c.of(o).executor)
	}
}

// blames looks whether an action that is answered EXECUTOR_LOST or EXECUTOR_KILLED executed or
// was copied when its process ended: nothing else may be blamed for that.
func (c *checker) blames(k *known) {
	if !k.begun || k.executor == c.gpus[k.action.GPU].executor || !slices.Contains([]protocol.Kind{protocol.Infer, protocol.LoadWeights}, k.action.Kind) {
		c.failf("action %d of %d is answered that its executor ended, and did not execute when a process ended: %+v", k.action.ID, k.action.Issuer, k)
	}
}

// quick is how soon a driver answers an order for a process that has ended.
const quick = time.Millisecond
