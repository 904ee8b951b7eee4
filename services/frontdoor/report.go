package frontdoor

import (
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// This file reports requests to statistics and telemetry.

// outcome is the outcome of a request.
type outcome struct {
	code  protocol.Code
	why   string
	at    time.Time // when the outcome was known
	batch int       // 0: it was not executed
	// These are the phases at the worker.
	queue, input, exec, output time.Duration
}

// ran returns the outcome of an executed request; o is nil for a request that
// the scheduler answered.
func ran(o *protocol.Output, now time.Time) outcome {
	if o == nil {
		return outcome{code: protocol.OK, at: now}
	}
	return outcome{code: protocol.OK, at: now, batch: o.Batch, queue: o.Queued, input: o.Input, exec: o.Exec, output: o.Output}
}

// report reports an answered request.
func (d *FrontDoor) report(r *frontdoor.Request) {
	d.live.answered(r)
	if !d.config.Telemetry.WantsRequests() {
		return
	}
	c, now := clientOf(r), time.Now()
	o, arrived, slo := &c.outcome, wall(r.Arrived), r.Deadline.Sub(r.Arrived)
	if r.Arrived == 0 { // no scheduler was active while it waited: it has no SLO yet
		arrived, slo = now, 0
	}
	told := watch.Request{
		Trace: c.trace, ID: r.ID, Client: r.ClientID, Tenant: r.Tenant, Model: r.Model.Name,
		Arrived: arrived, Dispatched: wall(r.Dispatched), Decided: o.at, Ended: now, SLO: slo, Buffered: r.Waited,
		Code: o.code, Why: o.why, Items: r.Batch, Batch: o.batch, Bytes: int64(len(r.Payload)), Generated: r.Generated,
		Worker: r.Worker, Cold: r.Cold, Queue: o.queue, Input: o.input, Exec: o.exec, Output: o.output,
	}
	if c.trace.Recorded() {
		told.Subject = d.bus.Subjects.InferBy(r.Model.Name, r.Tenant)
	}
	d.config.Telemetry.Request(told)
}

// reportRefused reports a message that never became a request.
func (d *FrontDoor) reportRefused(c *client, tenant, model string, bytes int, arrived time.Time, refusal *protocol.Error) {
	d.live.refused(refusal)
	if !d.config.Telemetry.WantsRequests() {
		return
	}
	r := watch.Request{
		Tenant: tenant, Model: model, Arrived: arrived, Ended: time.Now(), Code: refusal.Code, Why: refusal.Message,
		Bytes: int64(bytes), Trace: c.trace,
	}
	if c.trace.Recorded() {
		r.Subject = c.Subject()
	}
	d.config.Telemetry.Request(r)
}

// source returns the metrics source of a front door.
func (d *FrontDoor) source() watch.Source {
	return watch.Source{
		Service: protocol.FrontDoor, Name: protocol.DoorName(d.id),
		Ready: d.bus.Unreachable,
		Bus:   d.bus.Gauges,
		FrontDoor: func() watch.FrontDoor {
			s := d.snapshot()
			return watch.FrontDoor{Stage: s.Stage, Epoch: s.Epoch, Capacity: s.Capacity, Received: s.Received, Answered: s.Answered, Left: s.Left, Late: s.Late,
				InFlight: s.InFlight, Bytes: s.Bytes, EarlyBytes: s.EarlyBytes, Stored: int64(s.Waiting)}
		},
	}
}

func (d *FrontDoor) snapshot() frontdoor.Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Snapshot()
}
