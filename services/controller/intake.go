package controller

import (
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/bus"
	"clockwork/pkg/protocol"
)

// How a door takes requests in.

// mayAnswer reports whether a client may be answered on a subject, and tells of
// those that may not.
func (d *Door) mayAnswer(reply string) bool {
	if reply == "" {
		return false // nobody waits for an answer
	}
	if !d.bus.Subjects.IsClients(reply) {
		if count := d.ignored.Add(time.Now()); count > 0 {
			d.bus.Log.Warn("requests ignored: their reply subject is not a client's", "count", count, "latest", reply)
		}
		return false
	}
	return true
}

// onInfer takes a request of a client.
func (d *Door) onInfer(m *nats.Msg) {
	now := time.Now()
	if !d.mayAnswer(m.Reply) {
		return
	}
	d.Received.Add(1)
	if d.held == 0 {
		d.reconnects.Store(d.bus.Reconnects())
	}
	defer d.flushLast(m.Sub)
	model := d.bus.Subjects.Token(m.Subject, 1)
	if len(m.Data) <= slowBody || bus.EncodingOf(m.Data) != bus.JSON {
		d.accept(model, m, now)
		return
	}
	select {
	case d.slow <- struct{}{}:
	default:
		d.refuseMessage(m.Reply, m.Data, protocol.Errorf(protocol.Overloaded, "%d large JSON requests are being read; msgpack is read at once", maxSlow))
		return
	}
	if !d.work.start(func() {
		defer func() { <-d.slow }()
		d.accept(model, m, now)
		d.submissions.Flush()
	}) {
		d.refuseMessage(m.Reply, m.Data, protocol.Refusal(protocol.ShuttingDown))
	}
}

// accept serves a request, or stores it until somebody can.
func (d *Door) accept(model string, m *nats.Msg, now time.Time) {
	if d.accepting() {
		d.serve(model, m, now)
	} else {
		d.store(model, m)
	}
}

// serve takes a request that arrived at an instant, or refuses it.
func (d *Door) serve(model string, m *nats.Msg, now time.Time) {
	in, fault := bus.DecodeInfer(m.Data)
	if fault != nil {
		d.refuseMessage(m.Reply, m.Data, fault)
		return
	}
	slo, fault := sloOf(m.Header, in.Parameters, d.config.DefaultSLO)
	if fault != nil {
		d.refuseMessage(m.Reply, m.Data, fault)
		return
	}
	r := &request{encoding: bus.EncodingOf(m.Data), reply: m.Reply, arrived: now, deadline: now.Add(slo), reconnects: d.reconnects.Load()}
	if fault := d.admit(r, model, in); fault != nil {
		d.refuseMessage(m.Reply, m.Data, fault)
	}
}

// flushLast sends the submissions once no request of the subscription waits
// behind this one, or when enough have come together.
func (d *Door) flushLast(sub *nats.Subscription) {
	d.held++
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || d.held >= maxHeld {
		d.held = 0
		d.submissions.Flush()
	}
}

// admit checks a request against its model, takes it in and queues it for the
// scheduler.
func (d *Door) admit(r *request, model string, in protocol.InferRequest) *protocol.Error {
	d.mu.Lock()
	spec, known := d.models[model]
	d.mu.Unlock()
	if !known {
		return protocol.Errorf(protocol.UnknownModel, "no model is called %q", model)
	}
	payload, batch, fault := payloadOf(spec, in.Inputs)
	if limit := d.bus.Payload.MaxPayload() - inputHead; fault == nil && int64(len(payload)) > limit {
		fault = protocol.Errorf(protocol.PayloadTooLarge, "the inputs have %d bytes, the broker carries %d", len(payload), limit)
		fault.Got, fault.Limit = int64(len(payload)), limit
	}
	if fault != nil {
		return fault
	}
	r.model, r.clientID, r.priority = spec, in.ID, in.Parameters.Priority
	r.payload, r.batch, r.generated = payload, batch, len(in.Inputs) == 0

	d.mu.Lock()
	d.seq++
	r.id = protocol.RequestID{Door: d.id, Seq: d.seq}
	r.epoch = d.epoch
	fault = d.table.add(r) // without a scheduler it waits there for the next one
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

func (d *Door) rewake() {
	select {
	case d.wake <- struct{}{}:
	default: // it will look anyway
	}
}
