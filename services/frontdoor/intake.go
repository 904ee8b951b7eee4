package frontdoor

import (
	"context"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/wire"
)

// This file takes requests of clients.

// client is the shell's part of a request: Request.Driver.
type client struct {
	msg     *nats.Msg // the message; nil for a request from the startup buffer
	trace   watch.Trace
	outcome outcome // set when the request is answered
}

func clientOf(r *frontdoor.Request) *client {
	c, _ := r.Driver.(*client)
	if c == nil {
		c = &client{}
		r.Driver = c
	}
	return c
}

// onInfer takes a client's request.
func (d *FrontDoor) onInfer(m *nats.Msg) {
	defer d.flushLast(m.Sub)
	r, c := d.take(m)
	switch {
	case r == nil:
	case !r.Beside:
		d.read(r, c)
	case !d.work.Start(func() { d.read(r, c) }):
		d.undecoded(r, protocol.Refusal(protocol.ShuttingDown))
	}
}

// take passes a message to the core. If the core refuses the message, take
// answers it; if the core refuses or ignores it, take returns nil.
func (d *FrontDoor) take(m *nats.Msg) (*frontdoor.Request, *client) {
	in := frontdoor.Inbound{Reply: m.Reply, Bytes: len(m.Data), Slow: wire.ReadsSlowly(m.Data)}
	in.Model, in.Tenant = d.bus.Subjects.Inferred(m.Subject)
	if d.bus.Subjects.Roles && protocol.IsRole(in.Tenant) {
		in.Asker, in.Tenant = in.Tenant, ""
	}
	arrived := clock.Now()
	d.mu.Lock()
	var ended []frontdoor.Ended
	if d.held == 0 {
		ended = d.checkConnection(nil)
	}
	out := d.stepCore(arrived, &in)
	r, refusal, ignored := out.Admitted, out.Refusal, out.Ignored
	d.unlockHeld(d.carryOut(out, ended), false)
	if ignored != frontdoor.NotIgnored {
		d.noteIgnored(ignored, m.Reply, in.Tenant)
		return nil, nil
	}
	c := &client{msg: m, trace: d.config.Telemetry.Trace(m.Header)}
	if r == nil {
		d.refuseMessage(c, &in, arrived, refusal)
		return nil, nil
	}
	r.Driver = c
	return r, c
}

// noteIgnored logs ignored messages, whose replies would go to a subject that is
// not their client's.
func (d *FrontDoor) noteIgnored(why frontdoor.Ignored, reply, tenant string) {
	if why == frontdoor.NoReply {
		return
	}
	switch why {
	case frontdoor.OthersInbox:
		d.bus.Notice(slog.LevelWarn, "requests ignored: their reply subject is another client's inbox", tenant, "client", tenant, "reply", reply)
	default:
		d.bus.Notice(slog.LevelWarn, "requests ignored: their reply subject is not a client's", "", "reply", reply)
	}
}

// read decodes an admitted message.
func (d *FrontDoor) read(r *frontdoor.Request, c *client) {
	e := frontdoor.Decoded{Request: r}
	if fault := d.decodeMessage(c.msg, &r.Model, r.Known, &e); fault != nil {
		d.undecoded(r, fault)
		return
	}
	d.mu.Lock()
	out := d.stepCore(clock.Now(), &e)
	store, rejected, refusal := out.Store, out.Rejected, out.Refusal
	d.unlockHeld(d.carryOut(out, nil), r.Beside)
	switch {
	case store != nil:
		d.store(store, c)
	case rejected != nil:
		d.refuseRequest(rejected, refusal)
	}
}

// unlockHeld is unlock, except that submissions of requests decoded in the
// subscription's own goroutine are sent with the last pending message.
func (d *FrontDoor) unlockHeld(ended []frontdoor.Ended, beside bool) {
	if beside || len(ended) > 0 {
		d.unlock(ended)
		return
	}
	d.mu.Unlock()
}

// decodeMessage decodes a message, whose deadline may be in a header.
func (d *FrontDoor) decodeMessage(m *nats.Msg, spec *protocol.ModelSpec, known bool, e *frontdoor.Decoded) *protocol.Error {
	parameters, fault := d.decode(m.Data, spec, known, e)
	if fault == nil {
		e.SLO, fault = frontdoor.ReadSLO(headerOf(m.Header, protocol.TimeoutHeader), parameters, d.config.DefaultSLO)
	}
	return fault
}

// headerOf returns the value of a header, whose name may be in any case, as in HTTP: NATS
// keeps the case in which it was sent.
func headerOf(header nats.Header, name string) string {
	if value := header.Get(name); value != "" {
		return value
	}
	for key, values := range header {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// decode decodes a body. The model may be unknown so far.
func (d *FrontDoor) decode(body []byte, spec *protocol.ModelSpec, known bool, e *frontdoor.Decoded) (protocol.InferParameters, *protocol.Error) {
	in, fault := wire.DecodeInfer(body)
	if fault != nil {
		return in.Parameters, fault
	}
	e.Encoding = wire.EncodingOf(body)
	e.ClientID, e.Priority, e.Generated = in.ID, in.Parameters.Priority, len(in.Inputs) == 0
	e.Outputs = in.Outputs
	if known {
		e.Payload, e.Batch, fault = frontdoor.Layout(spec, in.Inputs)
	}
	if known && fault == nil {
		fault = frontdoor.CheckOutputs(spec, in.Outputs)
	}
	return in.Parameters, fault
}

func (d *FrontDoor) undecoded(r *frontdoor.Request, fault *protocol.Error) {
	d.mu.Lock()
	out := d.stepCore(clock.Now(), &frontdoor.Undecoded{Request: r, Fault: fault})
	d.unlock(d.carryOut(out, nil))
	d.refuseRequest(r, fault)
}

// store writes a request to the startup buffer.
func (d *FrontDoor) store(r *frontdoor.Request, c *client) {
	stored := d.buffer.Store(r.Name, r.Reply, r.Deadline.Sub(r.Arrived), c.msg.Data, traceparent(c.trace))
	ended := func(fault *protocol.Error) {
		d.step(&frontdoor.Stored{Request: r, Fault: fault})
		if fault != nil {
			d.refuseRequest(r, fault)
		}
	}
	if !d.work.Start(func() { ended(stored(context.Background())) }) {
		ended(protocol.Refusal(protocol.ShuttingDown))
	}
}

// flushLast sends the submissions if no further request of the subscription is
// pending, or if maxHeld is reached.
func (d *FrontDoor) flushLast(sub *nats.Subscription) {
	d.held++
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || d.held >= maxHeld {
		d.held = 0
		d.submissions.Flush()
	}
}
