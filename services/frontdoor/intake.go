package frontdoor

import (
	"context"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
)

// This file takes requests of clients, whatever ingress they came through.

// admit passes a message to the core. The request is nil if the core refuses the message,
// which is answered, or ignores it. check: a connection that broke is looked for first.
func (d *FrontDoor) admit(in *frontdoor.Inbound, x Exchange, header map[string][]string, check bool) (*frontdoor.Request, frontdoor.Ignored) {
	d.mu.Lock()
	var ended []frontdoor.Ended
	if check {
		ended = d.checkConnection(nil)
	}
	return d.inbound(in, x, header, ended)
}

// inbound steps the core with a message, and releases the lock.
func (d *FrontDoor) inbound(in *frontdoor.Inbound, x Exchange, header map[string][]string, ended []frontdoor.Ended) (*frontdoor.Request, frontdoor.Ignored) {
	arrived := clock.Now()
	out := d.stepCore(arrived, in)
	r, refusal, ignored := out.Admitted, out.Refusal, out.Ignored
	d.unlockHeld(d.carryOut(out, ended), false)
	if ignored != frontdoor.NotIgnored {
		return nil, ignored
	}
	c := &client{Exchange: x, trace: d.config.Telemetry.Trace(header)}
	if r == nil {
		c.Refuse(refusal)
		d.reportRefused(c, in.Tenant, "", in.Bytes, wall(arrived), refusal)
		return nil, ignored
	}
	r.Driver = c
	return r, ignored
}

// Take takes a message of a client whose connection ends in this process (Inbound.Direct), and
// reads it on this goroutine. It returns the request, which Exchange.End will be called for;
// nil if the message is refused, which is answered.
func (d *FrontDoor) Take(in *frontdoor.Inbound, x Exchange, header map[string][]string) *frontdoor.Request {
	r, _ := d.admit(in, x, header, true)
	if r == nil || !d.read(r, true) {
		return nil
	}
	return r
}

// Screen refuses a message that is refused whatever its body is, and reports whether it was:
// nobody need read the body then.
func (d *FrontDoor) Screen(in *frontdoor.Inbound, x Exchange, header map[string][]string) bool {
	d.mu.Lock()
	if d.core.Screen(in) == nil {
		d.mu.Unlock()
		return false
	}
	d.inbound(in, x, header, nil)
	return true
}

// Gone reports that nobody waits any more for the answer to a request that was taken.
func (d *FrontDoor) Gone(r *frontdoor.Request) { d.step(&frontdoor.ClientGone{ID: r.ID}) }

// read decodes an admitted message, and reports whether the request goes on. beside: not in
// the goroutine that takes all messages of its ingress.
func (d *FrontDoor) read(r *frontdoor.Request, beside bool) bool {
	e := frontdoor.Decoded{Request: r}
	if fault := clientOf(r).Read(&r.Model, r.Known, &e); fault != nil {
		d.undecoded(r, fault)
		return false
	}
	d.mu.Lock()
	out := d.stepCore(clock.Now(), &e)
	store, rejected, refusal := out.Store, out.Rejected, out.Refusal
	d.unlockHeld(d.carryOut(out, nil), beside)
	switch {
	case store != nil:
		d.store(store)
	case rejected != nil:
		d.refuseRequest(rejected, refusal)
	}
	return rejected == nil
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

// Fill puts what a client's message says into the event that the core is told. The model may
// be unknown so far.
func Fill(e *frontdoor.Decoded, in *protocol.InferRequest, spec *protocol.ModelSpec, known bool) (fault *protocol.Error) {
	e.ClientID, e.Priority, e.Generated = in.ID, in.Parameters.Priority, len(in.Inputs) == 0
	e.Outputs = in.Outputs
	if known {
		e.Payload, e.Batch, fault = frontdoor.Layout(spec, in.Inputs)
	}
	if known && fault == nil {
		fault = frontdoor.CheckOutputs(spec, in.Outputs)
	}
	return fault
}

func (d *FrontDoor) undecoded(r *frontdoor.Request, fault *protocol.Error) {
	d.mu.Lock()
	out := d.stepCore(clock.Now(), &frontdoor.Undecoded{Request: r, Fault: fault})
	d.unlock(d.carryOut(out, nil))
	d.refuseRequest(r, fault)
}

// refuseRequest answers an admitted request that cannot continue.
func (d *FrontDoor) refuseRequest(r *frontdoor.Request, refusal *protocol.Error) {
	c := clientOf(r)
	c.Refuse(refusal)
	d.reportRefused(c, r.Tenant, r.Model.Name, r.Bytes, wall(r.Arrived), refusal)
}

// store writes a request to the startup buffer.
func (d *FrontDoor) store(r *frontdoor.Request) {
	c := clientOf(r)
	stored := d.buffer.Store(r.Name, r.Reply, r.Deadline.Sub(r.Arrived), c.Exchange.(*natsExchange).body, traceparent(c.trace))
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
