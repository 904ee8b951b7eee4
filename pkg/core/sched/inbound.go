package sched

import (
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// Inputs go from front doors to workers through a broker, which keeps a bounded number of bytes
// for a worker's connection and drops what is more, or closes the connection. A front door bounds
// only its own. What all of them send at a time is what the scheduler has them send: so a worker
// gets no Infer while the inputs on their way to it are Config.MaxInbound bytes or more.

// inbound are the inputs on their way to a worker.
type inbound struct {
	// bytes are those of its Infers without a result, and of missed.
	bytes int64
	// missed are inputs that had not come when their Infer ended: the front door, or the
	// broker, still has them. In order of time.
	missed []missedInputs
	// timer fires when the first of missed counts no more.
	timer heap.Node[due]
}

type missedInputs struct {
	until protocol.Time
	bytes int64
}

// missedFor is how long inputs count that had not come in time: the broker's write deadline,
// after which it has written something, or has closed the connection.
const missedFor = 2 * time.Second

// takesInputs reports whether more inputs may be sent to a worker.
func (c *engine) takesInputs(w *worker) bool {
	return c.config.MaxInbound == 0 || w.inbound.bytes < c.config.MaxInbound
}

// sendInputs notes that the front doors are told to send the inputs of an Infer.
func (c *engine) sendInputs(a *action) { a.replica.gpu.worker.inbound.bytes += a.inputs }

// inputsEnded notes the end of an Infer: its inputs have come, or were missed.
func (c *engine) inputsEnded(a *action) {
	w := a.replica.gpu.worker
	if a.inputs == 0 {
		return
	}
	if !a.missed {
		c.inputsGone(w, a.inputs)
		return
	}
	in := &w.inbound
	in.missed = append(in.missed, missedInputs{c.now.Add(missedFor), a.inputs})
	if !in.timer.In() {
		in.timer.Of.worker = w
		c.timers.Set(&in.timer, int64(in.missed[0].until), c.ticket())
	}
}

// missedEnd counts the missed inputs no more whose time is over.
func (c *engine) missedEnd(w *worker) {
	in := &w.inbound
	for len(in.missed) > 0 && in.missed[0].until <= c.now {
		c.inputsGone(w, in.missed[0].bytes)
		in.missed = in.missed[1:]
	}
	if len(in.missed) > 0 {
		c.timers.Set(&in.timer, int64(in.missed[0].until), c.ticket())
	}
}

// inputsGone takes inputs off a worker's; its GPUs may have waited for that.
func (c *engine) inputsGone(w *worker, bytes int64) {
	full := !c.takesInputs(w)
	w.inbound.bytes -= bytes
	if !full || !c.takesInputs(w) {
		return
	}
	for _, g := range w.gpus {
		c.markGPU(g)
	}
}
