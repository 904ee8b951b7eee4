package frontdoor

import (
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// What a door tells of its work.

// outcome is what became of a request.
type outcome struct {
	code  protocol.Code
	why   string
	at    time.Time // when that was known
	batch int       // 0: it did not run
	// The worker's time, by its parts.
	queue, input, exec, output time.Duration
}

// ran is the outcome of a request that a worker ran; of one that the scheduler
// answered, o is nil.
func ran(o *protocol.Output, now time.Time) outcome {
	if o == nil {
		return outcome{code: protocol.OK, at: now}
	}
	return outcome{code: protocol.OK, at: now, batch: o.Batch, queue: o.Queued, input: o.Input, exec: o.Exec, output: o.Output}
}

// tell tells of a request that was answered.
func (d *FrontDoor) tell(r *request) {
	d.live.answered(r)
	if !d.config.Telemetry.HearsRequests() {
		return
	}
	o, now := &r.outcome, time.Now()
	arrived, slo := r.arrived, r.deadline.Sub(r.arrived)
	if arrived.IsZero() { // nobody was active while it waited: it has no SLO yet
		arrived, slo = now, 0
	}
	d.config.Telemetry.Request(watch.Request{
		Trace: r.trace, Subject: d.subjectOf(r), ID: r.id, Client: r.clientID, Tenant: r.tenant, Model: r.model.Name,
		Arrived: arrived, Dispatched: r.dispatched, Decided: o.at, Ended: now, SLO: slo, Buffered: r.waited,
		Code: o.code, Why: o.why, Items: r.batch, Batch: o.batch, Bytes: int64(len(r.payload)), Generated: r.generated,
		Worker: r.worker, Cold: r.cold, Queue: o.queue, Input: o.input, Exec: o.exec, Output: o.output,
	})
}

// tellRefused tells of a message that never became a request.
func (d *FrontDoor) tellRefused(a *asked, e *protocol.Error) {
	d.live.refused(e)
	if !d.config.Telemetry.HearsRequests() {
		return
	}
	r := watch.Request{
		Tenant: a.tenant, Model: a.spec.Name, Arrived: a.arrived, Ended: time.Now(), Code: e.Code, Why: e.Message,
		Bytes: int64(len(a.Data)), Trace: a.trace,
	}
	if a.trace.Recorded() {
		r.Subject = a.Subject
	}
	d.config.Telemetry.Request(r)
}

// source is what can be read of a door.
func (d *FrontDoor) source() watch.Source {
	return watch.Source{
		Service: protocol.FrontDoor, Name: protocol.DoorName(d.id),
		Ready: d.bus.Unreachable,
		Bus:   d.bus.Reading,
		FrontDoor: func() watch.FrontDoor {
			d.mu.Lock()
			defer d.mu.Unlock()
			// In the opposite of the order in which a request comes by, so that none is
			// counted twice.
			r := watch.FrontDoor{Stage: d.stage, Epoch: d.epoch, Answered: d.Answered.Load(), Left: d.Left.Load(), Late: d.Late.Load()}
			r.InFlight, r.Bytes = len(d.table.bySeq), d.table.bytes
			r.Stored = d.waiting.Load()
			r.Received = d.Received.Load()
			return r
		},
	}
}
