package frontdoor

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// largeReply is where a reply counts as a payload.
const largeReply = 16 << 10

// maxUnclaimed bounds how many answers without a claim are remembered.
const maxUnclaimed = 1 << 16

// claimWait bounds how long the buffer may take to give up a request.
const claimWait = 5 * time.Second

// respond answers a request that was executed, or that the scheduler answered
// without a worker (o is nil): OK only within its deadline as the door sees it.
func (d *FrontDoor) respond(r *request, o *protocol.Output, now time.Time) {
	if now.After(r.deadline) {
		d.refuse(r, overdue(r, max(1, r.epoch)))
		return
	}
	response := protocol.InferResponse{
		ModelName: r.model.Name,
		ID:        r.clientID,
		Parameters: protocol.ResponseParameters{
			LatencyUS:  now.Sub(r.arrived).Microseconds(),
			BatchSize:  r.batch,
			Worker:     r.worker,
			ColdStart:  r.cold,
			BufferedMS: protocol.Milliseconds(r.waited),
		},
	}
	p := &response.Parameters
	if !r.dispatched.IsZero() { // a generated input needs no dispatch, and may outrun it
		p.SchedulerUS = r.dispatched.Sub(r.arrived).Microseconds()
	}
	if o != nil {
		outputs, fault := outputsOf(r, o)
		if fault != nil {
			d.refuse(r, fault)
			return
		}
		response.Outputs = outputs
		p.BatchSize = o.Batch
		p.QueueUS, p.InputUS = o.Queued.Microseconds(), o.Input.Microseconds()
		p.ExecUS, p.OutputUS = o.Exec.Microseconds(), o.Output.Microseconds()
	}
	r.outcome = ran(o, now)
	if r.buffered != 0 {
		d.deliver(r, &nats.Msg{Subject: r.reply, Data: wire.EncodeResponse(r.encoding, &response)})
		return
	}
	body := wire.Borrow()
	defer wire.GiveBack(body)
	*body = wire.AppendResponse(*body, r.encoding, &response)
	d.answer(r, &nats.Msg{Subject: r.reply, Data: *body})
}

// refuse answers a request with an error.
func (d *FrontDoor) refuse(r *request, e *protocol.Error) {
	if r.waited > 0 {
		e.BufferedMS = protocol.Milliseconds(r.waited)
	}
	if !e.Code.Known() {
		e.Code = protocol.Internal
	}
	now := time.Now()
	r.outcome = outcome{code: e.Code, why: e.Message, at: now}
	d.misses.add(r.model.Name, e, now)
	d.deliver(r, bus.ErrorReply(r.encoding, r.reply, e))
}

// refuseMessage answers a message that never became a request.
func (d *FrontDoor) refuseMessage(a *asked, e *protocol.Error) {
	d.publish(bus.ErrorReply(wire.EncodingOf(a.Data), a.Reply, e))
	d.tellRefused(a, e)
}

// deliver gives the one reply. A buffered request is claimed first, so that
// no other controller answers it too.
func (d *FrontDoor) deliver(r *request, m *nats.Msg) {
	if r.buffered == 0 {
		d.answer(r, m)
		return
	}
	d.work.Start(func() { // else we stop, and the next controller serves it
		ctx, cancel := context.WithTimeout(context.Background(), claimWait)
		defer cancel()
		mine, err := d.buffer.Claim(ctx, r.buffered)
		d.mu.Lock()
		_, again := d.unclaimed[r.buffered]
		switch {
		case err == nil:
			delete(d.unclaimed, r.buffered)
		case len(d.unclaimed) < maxUnclaimed:
			d.unclaimed[r.buffered] = struct{}{}
		}
		d.mu.Unlock()
		if err != nil {
			d.bus.Log.Warn("buffered request answered without a claim", "error", err)
		}
		if !again && (mine || err != nil) && d.bus.MayReplyTo(m.Subject) {
			d.publish(m)
			d.tell(r)
		}
	})
}

// lateReply is how long after its deadline a request is answered by a door that
// had lost the broker meanwhile. The scheduler answers for a door that is gone
// from the broker, and leaves it twice that time.
const lateReply = 25 * time.Millisecond

// answer gives the reply to a request of which the scheduler may know.
func (d *FrontDoor) answer(r *request, m *nats.Msg) {
	if !r.claimed {
		if d.isLeft(r) {
			d.Left.Add(1)
			d.bus.Log.Warn("late reply left to the scheduler: the broker had lost this door", "request", r.id)
			return
		}
		d.claim(r)
	}
	if nc := d.connection(m); r.claimed && nc != d.bus.Control {
		d.claimBefore(nc, r)
	}
	d.publish(m)
	d.tell(r)
}

// isLeft reports whether the scheduler may have answered a request.
func (d *FrontDoor) isLeft(r *request) bool {
	return r.isSubmitted() && time.Since(r.deadline) > lateReply && d.bus.Reconnects() != r.reconnects
}

// connection is the one on which a reply leaves.
func (d *FrontDoor) connection(m *nats.Msg) *nats.Conn {
	if len(m.Data) > largeReply {
		return d.bus.Payload
	}
	return d.bus.Control
}

func (d *FrontDoor) publish(m *nats.Msg) {
	d.Answered.Add(1)
	nc := d.connection(m)
	err := nc.PublishMsg(m)
	if errors.Is(err, nats.ErrMaxPayload) {
		e := protocol.Errorf(protocol.PayloadTooLarge, "the answer of %d bytes is larger than the broker carries (%d)", len(m.Data), nc.MaxPayload())
		e.Got, e.Limit = int64(len(m.Data)), nc.MaxPayload()
		err = nc.PublishMsg(bus.ErrorReply(wire.EncodingOf(m.Data), m.Subject, e))
	}
	if err != nil {
		d.bus.Log.Warn("reply not sent", "error", err) // the broker is gone; the client times out
	}
}
