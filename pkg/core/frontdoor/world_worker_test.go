package frontdoor

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

func (w *world) worker() string { return fmt.Sprintf("w%d", 1+w.RNG.IntN(3)) }

// runUnasked runs a request with generated inputs: the worker needs nothing from the front
// door, so its output may arrive before the dispatch.
func (w *world) runUnasked(d *frontDoor, x protocol.Dispatch) {
	if r := d.m.Request(x.ID.Seq); r != nil && r.Generated {
		w.run(x.Worker, x.ID, 1)
	}
	if w.faulty() && w.oneIn(30) { // a worker that was not given the request
		w.run(w.worker(), x.ID, 1)
	}
}

// sendInput sends a worker the input; it runs the request once it has it.
func (d *frontDoor) sendInput(in Input) {
	id, batch, worker := in.Request.ID, in.Request.Batch, in.Worker
	d.send(func() { d.w.loose(func() { d.w.run(worker, id, batch) }) }, func() {})
}

// run sends the output of a request, now and then one of a wrong size or with a wrong id.
func (w *world) run(worker string, id protocol.RequestID, batch int) {
	o := &protocol.Output{ID: id, Batch: batch, Items: batch, Data: make([]byte, 8*batch)}
	switch n := w.RNG.IntN(60); {
	case !w.faulty():
	case n == 0:
		o.Data = o.Data[1:]
	case n == 1:
		o.Items++
	case n == 2:
		o.ID.Door++
	}
	w.After(w.UpTo(40*time.Millisecond), func() {
		w.loose(func() { w.output(worker, id.Door, o) })
	})
}

func (w *world) output(worker string, to uint64, o *protocol.Output) {
	if d := w.frontDoorByID(to); d != nil {
		d.deliver(func() {
			d.checkedStep(&OutputArrived{worker, o})
		})
	}
}
