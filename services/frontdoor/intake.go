package frontdoor

import (
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// How a door takes requests in.

// onInfer takes a request of a client.
func (d *FrontDoor) onInfer(m *nats.Msg) {
	a := &asked{Msg: m, arrived: time.Now()}
	a.model, a.tenant = d.bus.Subjects.Inferred(m.Subject)
	if !d.bus.MayReplyTo(m.Reply) || !d.mayHear(a) {
		return
	}
	d.Received.Add(1)
	a.trace = d.config.Telemetry.Trace(m.Header)
	if d.held == 0 {
		d.reconnects.Store(d.bus.Reconnects())
	}
	defer d.flushLast(m.Sub)
	if fault := d.letIn(a); fault != nil {
		d.refuseMessage(a, fault)
		return
	}
	if !wire.ReadsSlowly(m.Data) {
		d.accept(a)
		return
	}
	n := slotsOf(len(m.Data))
	if !d.slow.take(a.tenant, n) {
		d.turnAway(a, protocol.Errorf(protocol.Overloaded, "as many numbers are being read as may be at a time; send tensors as raw bytes (msgpack bin), which are read at once"))
		return
	}
	if !d.work.Start(func() {
		defer d.slow.giveBack(a.tenant, n)
		d.accept(a)
		d.submissions.Flush()
	}) {
		d.slow.giveBack(a.tenant, n)
		d.turnAway(a, protocol.Refusal(protocol.ShuttingDown))
	}
}

// mayHear reports whether the answer may go where a tenant asks for it, and tells
// of those that may not: it is another one's inbox.
func (d *FrontDoor) mayHear(a *asked) bool {
	if protocol.MayHear(a.tenant, a.Reply) {
		return true
	}
	if count := d.ignored.Add(a.arrived); count > 0 {
		d.bus.Log.Warn("requests ignored: their answers would go to another client's inbox", "count", count, "client", a.tenant, "latest", a.Reply)
	}
	return false
}

// accept serves a request, or stores it until somebody can.
func (d *FrontDoor) accept(a *asked) {
	r, fault := d.read(a)
	switch {
	case fault != nil:
		d.turnAway(a, fault)
	case a.accepting:
		if fault := d.admit(r); fault != nil {
			d.turnAway(a, fault)
		}
	default:
		d.store(a, r.deadline.Sub(r.arrived))
	}
}

// flushLast sends the submissions once no request of the subscription waits
// behind this one, or when enough have come together.
func (d *FrontDoor) flushLast(sub *nats.Subscription) {
	d.held++
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || d.held >= maxHeld {
		d.held = 0
		d.submissions.Flush()
	}
}

// admit takes in a request that was checked, and queues it for the scheduler.
func (d *FrontDoor) admit(r *request) *protocol.Error {
	if limit := d.bus.Payload.MaxPayload() - inputHead; int64(len(r.payload)) > limit {
		fault := protocol.Errorf(protocol.PayloadTooLarge, "the inputs have %d bytes, the broker carries %d", len(r.payload), limit)
		fault.Got, fault.Limit = int64(len(r.payload)), limit
		return fault
	}
	d.mu.Lock()
	d.seq++
	r.id = protocol.RequestID{Door: d.id, Seq: d.seq}
	r.epoch = d.epoch
	fault := d.table.add(r) // without a scheduler it waits there for the next one
	first := fault == nil && (d.watched.IsZero() || r.deadline.Before(d.watched))
	if first {
		d.watched = r.deadline
	}
	d.mu.Unlock()
	if fault != nil {
		return fault
	}
	if first {
		d.rewake()
	}
	if r.epoch != 0 {
		d.submissions.Add(r.submission(time.Now()))
	}
	return nil
}

func (d *FrontDoor) rewake() {
	select {
	case d.wake <- struct{}{}:
	default: // it will look anyway
	}
}
