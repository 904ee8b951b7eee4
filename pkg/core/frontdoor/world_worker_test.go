package frontdoor

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

func (w *world) worker() string { return fmt.Sprintf("w%d", 1+w.rng.IntN(3)) }

// runUnasked has a worker run a request of generated inputs, for which it needs nothing of
// the front door: its output may come before the dispatch.
func (w *world) runUnasked(d *door, x protocol.Dispatch) {
	if r := d.m.Request(x.ID.Seq); r != nil && r.Generated {
		w.run(x.Worker, x.ID, 1)
	}
	if w.faulty() && w.one(30) { // somebody else answers
		w.run(w.worker(), x.ID, 1)
	}
}

// sendInput has a worker run a request, if it gets the input.
func (d *door) sendInput(in Input) {
	id, batch, worker := in.Request.ID, in.Request.Batch, in.Worker
	d.send(func() { d.w.loose(func() { d.w.run(worker, id, batch) }) }, func() {})
}

// run has a worker run a request and send its output, now and then one that no model
// gives, or twice.
func (w *world) run(worker string, id protocol.RequestID, batch int) {
	o := &protocol.Output{ID: id, Batch: batch, Items: batch, Data: make([]byte, 8*batch)}
	switch n := w.rng.IntN(60); {
	case !w.faulty():
	case n == 0:
		o.Data = o.Data[1:]
	case n == 1:
		o.Items++
	case n == 2:
		o.ID.Door++
	}
	w.after(w.upTo(40*time.Millisecond), func() {
		w.loose(func() { w.output(worker, id.Door, o) })
	})
}

func (w *world) output(worker string, to uint64, o *protocol.Output) {
	if d := w.doorOf(to); d != nil {
		d.toDoor(func() {
			d.heed(&OutputArrived{worker, o})
		})
	}
}
