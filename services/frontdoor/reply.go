package frontdoor

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// largeReply is the size in bytes from which a reply uses the payload
// connection.
const largeReply = 16 << 10

// answerAll sends each request its one reply, after the claim of all of them.
// Called without the lock.
func (d *FrontDoor) answerAll(ended []frontdoor.Ended) {
	if len(ended) == 0 {
		return
	}
	d.claim(d.bus.Control, ended...)
	for i := range ended {
		if e := ended[i]; !slowToEncode(&e) || !d.sendBeside(e) {
			d.send(&e)
		}
	}
}

// slowOutputs is the size in bytes from which outputs in JSON are encoded beside other
// work: a float takes some 100 ns, and other clients' answers would wait behind it.
const slowOutputs = 16 << 10

func slowToEncode(e *frontdoor.Ended) bool {
	return e.Refusal == nil && e.Request.Encoding == protocol.JSON && e.Output != nil && len(e.Output.Data) > slowOutputs
}

// sendBeside sends an answer from a goroutine of its own. It does not where as many wait
// as may wait, or where this front door stops.
func (d *FrontDoor) sendBeside(e frontdoor.Ended) bool {
	select {
	case d.slowAnswers <- struct{}{}:
	default:
		return false
	}
	started := d.work.Start(func() {
		d.encoders <- struct{}{}
		d.send(&e)
		<-d.encoders
		<-d.slowAnswers
	})
	if !started {
		<-d.slowAnswers
	}
	return started
}

// send sends one answer. What takes long comes first: whether the answer is in time is
// decided when it is about to be sent.
func (d *FrontDoor) send(e *frontdoor.Ended) {
	var tensors []protocol.Tensor
	var text []byte // of the tensors, in JSON
	if e.Refusal == nil && e.Output != nil {
		tensors, _ = frontdoor.Outputs(e.Request, e.Output) // the core has validated them
	}
	if e.Refusal == nil && e.Request.Encoding == protocol.JSON {
		text = wire.OutputsJSON(tensors)
	}
	if e.Refusal == nil && d.sendable(e, 0) && d.respond(e, tensors, text) {
		return
	}
	d.refuse(e)
}

// sendable reports whether an OK of so many bytes can be sent. The core says what the client
// is told if not, so that its observers are shown what the client gets.
func (d *FrontDoor) sendable(e *frontdoor.Ended, bytes int) bool {
	now := clock.Now()
	u := e.SentAt(now, int64(bytes), d.bus.Payload.MaxPayload())
	if u == nil {
		return true
	}
	d.mu.Lock()
	out := d.stepCore(now, u)
	e.Output, e.Refusal = nil, out.Refusal
	d.unlock(d.carryOut(out, nil))
	return false
}

// respond answers a request that was executed, or that the scheduler answered
// without a worker. text are the outputs in JSON, if that is the request's encoding. It
// returns false, and sends nothing, if the broker does not carry the answer.
func (d *FrontDoor) respond(e *frontdoor.Ended, outputs []protocol.Tensor, text []byte) bool {
	r, o, now := e.Request, e.Output, time.Now()
	response := protocol.InferResponse{
		ModelName:    r.Model.Name,
		ModelVersion: versionText(r.Model.Version),
		ID:           r.ClientID,
		Parameters: protocol.ResponseParameters{
			LatencyUS:  e.At.Sub(r.Arrived).Microseconds(),
			BatchSize:  r.Batch,
			Worker:     r.Worker,
			ColdStart:  r.Cold,
			BufferedMS: protocol.Milliseconds(r.Waited),
		},
	}
	p := &response.Parameters
	if r.Dispatched != 0 { // zero where the scheduler answered without a worker
		p.SchedulerUS = r.Dispatched.Sub(r.Arrived).Microseconds()
	}
	if o != nil {
		response.Outputs = outputs
		p.BatchSize = o.Batch
		p.QueueUS, p.InputUS = o.Queued.Microseconds(), o.Input.Microseconds()
		p.ExecUS, p.OutputUS = o.Exec.Microseconds(), o.Output.Microseconds()
	}
	body := wire.Borrow()
	defer wire.GiveBack(body)
	if r.Encoding == protocol.JSON {
		*body = wire.AppendResponseJSON(*body, &response, text)
	} else {
		*body = wire.AppendResponse(*body, r.Encoding, &response)
	}
	if !d.sendable(e, len(*body)) {
		return false
	}
	clientOf(r).outcome = ran(o, now)
	d.answer(e, &nats.Msg{Subject: r.Reply, Data: *body})
	return true
}

// versionText returns a model's version as the protocol of inference has it: a text, or
// nothing.
func versionText(version int) string {
	if version == 0 {
		return ""
	}
	return strconv.Itoa(version)
}

// refuse answers a request with an error.
func (d *FrontDoor) refuse(e *frontdoor.Ended) {
	r, now := e.Request, time.Now()
	clientOf(r).outcome = outcome{code: e.Refusal.Code, why: e.Refusal.Message, at: now}
	d.misses.add(r.Model.Name, e.Refusal, now)
	d.answer(e, bus.ErrorReply(r.Encoding, r.Reply, e.Refusal))
}

// answer sends a reply. A reply on the payload connection is claimed on both
// connections: there, because the reply must not overtake its claim; on Control,
// because a claim on the payload connection may overtake the submission.
func (d *FrontDoor) answer(e *frontdoor.Ended, m *nats.Msg) {
	if nc := d.connection(m); nc != d.bus.Control {
		d.claim(nc, *e)
	}
	d.publish(m)
	d.report(e.Request)
}

// refuseMessage answers a message that never became a request.
func (d *FrontDoor) refuseMessage(c *client, in *frontdoor.Inbound, arrived protocol.Time, refusal *protocol.Error) {
	d.publish(bus.ErrorReply(wire.EncodingOf(c.msg.Data), c.msg.Reply, refusal))
	d.reportRefused(c, in.Tenant, "", wall(arrived), refusal)
}

// refuseRequest answers an admitted request that cannot continue.
func (d *FrontDoor) refuseRequest(r *frontdoor.Request, refusal *protocol.Error) {
	c := clientOf(r)
	d.publish(bus.ErrorReply(wire.EncodingOf(c.msg.Data), r.Reply, refusal))
	d.reportRefused(c, r.Tenant, r.Model.Name, wall(r.Arrived), refusal)
}

// connection returns the connection for a reply.
func (d *FrontDoor) connection(m *nats.Msg) *nats.Conn {
	if len(m.Data) > largeReply {
		return d.bus.Payload
	}
	return d.bus.Control
}

func (d *FrontDoor) publish(m *nats.Msg) {
	if err := d.connection(m).PublishMsg(m); err != nil {
		d.bus.Notice(slog.LevelWarn, "reply not sent", "", "error", err) // the broker is unreachable; the client times out
	}
}
