package frontdoor

import (
	"context"
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// What the door knows of the rest of the stack: the stage and the models from
// the store, the active scheduler from its heartbeats.

// watchState follows the stage and the models, and opens a new watch when the
// broker was lost.
func (d *FrontDoor) watchState(ctx context.Context) {
	for ctx.Err() == nil {
		if err := d.state.Watch(ctx, d.onChange); err != nil {
			d.bus.Log.Warn("state not watched", "error", err)
		}
		clock.Pause(ctx, 200*time.Millisecond)
	}
}

func (d *FrontDoor) onChange(c bus.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case c.Stage != 0:
		d.stage = c.Stage
	case c.Model != nil:
		d.models[c.Model.Name] = *c.Model
	case c.Dropped != "":
		delete(d.models, c.Dropped)
	}
}

// onScheduler follows who is active: the highest epoch counts. What was
// submitted to another scheduler is submitted again.
func (d *FrontDoor) onScheduler(h protocol.Heartbeat) {
	d.mu.Lock()
	if h.State == protocol.SchedulerActive {
		d.actives[h.ID] = activeSeen{h.Epoch, h.Incarnation}
	} else {
		delete(d.actives, h.ID)
	}
	again := d.newEpoch()
	d.mu.Unlock()
	d.resubmit(again)
}

func (d *FrontDoor) onSchedulerLost(h protocol.Heartbeat) {
	d.mu.Lock()
	delete(d.actives, h.ID)
	again := d.newEpoch()
	d.mu.Unlock()
	if h.State == protocol.SchedulerActive {
		d.bus.Log.Warn("lost the active scheduler", "scheduler", h.ID, "epoch", h.Epoch)
	}
	d.resubmit(again)
}

// newEpoch settles which epoch is active and returns the requests that another
// one was in charge of. The caller holds the lock.
func (d *FrontDoor) newEpoch() []*request {
	epoch := uint64(0)
	for _, a := range d.actives {
		epoch = max(epoch, a.epoch)
	}
	if epoch == d.epoch {
		return nil
	}
	d.epoch = epoch
	if epoch == 0 {
		return nil
	}
	d.begun, d.latest = true, epoch
	var again []*request
	for _, r := range d.table.all() {
		if r.epoch != epoch {
			r.epoch = epoch
			again = append(again, r)
		}
	}
	return again
}

func (d *FrontDoor) resubmit(again []*request) {
	now := time.Now()
	for _, r := range again {
		d.submissions.Add(r.submission(now))
	}
	d.submissions.Flush()
}

// serving reports whether requests go to a scheduler.
func (d *FrontDoor) serving() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stage == protocol.Active && d.epoch != 0
}

// serves reports whether requests are the door's own, with their deadlines, rather
// than the startup buffer's: from the first scheduler that it saw on. Where that one is
// lost, requests wait here for the next one, no longer than their clients do. The caller
// holds the lock.
func (d *FrontDoor) serves() bool { return d.stage == protocol.Active && d.begun }

// Scheduler returns the epoch of the active scheduler, 0 for none, and how the
// schedulers that are heard stand.
func (d *FrontDoor) Scheduler() (uint64, protocol.ServiceState) {
	d.mu.Lock()
	epoch := d.epoch
	d.mu.Unlock()
	switch {
	case epoch != 0:
		return epoch, protocol.SchedulerActive
	case len(d.beats.Alive()) > 0:
		return 0, protocol.Standby
	}
	return 0, protocol.SchedulerAbsent
}

// store puts a request into the startup buffer. It was read, and what can be seen
// to be wrong already was refused; whether the model exists is known only at
// activation.
func (d *FrontDoor) store(a *asked, slo time.Duration) {
	if !d.storing.take(a.tenant, 1) {
		d.turnAway(a, protocol.Errorf(protocol.BufferFull, "as many requests are being stored as may be at a time"))
		return
	}
	stored := d.buffer.Store(a.model, a.Reply, slo, a.Data, a.traceparent())
	if !d.work.Start(func() {
		defer d.storing.giveBack(a.tenant, 1)
		if fault := stored(context.Background()); fault != nil {
			d.turnAway(a, fault)
			return
		}
		d.keepStored(a)
	}) {
		d.storing.giveBack(a.tenant, 1)
		d.turnAway(a, protocol.Refusal(protocol.ShuttingDown))
	}
}

// forgetBuffer: the buffer was lost and made again. What came from there is
// answered without a claim.
func (d *FrontDoor) forgetBuffer() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.unclaimed)
	for _, r := range d.table.all() {
		r.buffered = 0
	}
}

// handOn takes a request over from the buffer; its SLO begins now. It was let in
// before, so no limit refuses it; whose it is, its inbox says (mayHear).
func (d *FrontDoor) handOn(b bus.Buffered, body []byte, waited time.Duration) {
	now := time.Now()
	if b.Budget <= 0 || b.Budget > protocol.MaxSLO {
		b.Budget = d.config.DefaultSLO
	}
	tenant, _ := protocol.InboxOwner(b.Reply)
	r := &request{
		encoding: wire.EncodingOf(body),
		reply:    b.Reply,
		tenant:   tenant,
		arrived:  now,
		deadline: now.Add(b.Budget),
		buffered: b.Seq,
		handed:   true,
		waited:   waited,
		trace:    d.traceOf(&b),
	}
	d.mu.Lock()
	d.forgetStored(now)
	spec, known := d.models[b.Model]
	r.share = d.table.limits.Hold(tenant, b.Model, int64(len(body)), now)
	d.mu.Unlock()
	in, fault := wire.DecodeInfer(body)
	switch {
	case fault != nil:
	case !known:
		fault = unknown(b.Model)
	default:
		if fault = r.fill(spec, &in); fault == nil {
			fault = d.admit(r)
			d.submissions.Flush()
		}
	}
	if fault != nil {
		d.giveBack(r.share)
		d.refuse(r, fault)
	}
}
