package frontdoor

import (
	"strconv"
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// answerAll sends each request its one reply, after the claim of all of them.
// Called without the lock.
func (d *FrontDoor) answerAll(ended []frontdoor.Ended) {
	if len(ended) == 0 {
		return
	}
	d.claim(d.bus.Control, ended...)
	for i := range ended {
		clientOf(ended[i].Request).End(ended[i])
	}
}

// Send sends one answer. What takes long comes first: whether the answer is in time is
// decided when it is about to be sent.
func (d *FrontDoor) Send(e *frontdoor.Ended) {
	c := clientOf(e.Request)
	var tensors []protocol.Tensor
	var encoded []byte
	if e.Refusal == nil && e.Output != nil {
		tensors, _ = frontdoor.Outputs(e.Request, e.Output) // the core has validated them
	}
	if e.Refusal == nil {
		encoded = c.Tensors(tensors)
	}
	if e.Refusal == nil && d.sendable(e, 0) && d.respond(e, tensors, encoded) {
		return
	}
	d.refuse(e)
}

// sendable reports whether an OK of so many bytes can be sent. The core says what the client
// is told if not, so that its observers are shown what the client gets.
func (d *FrontDoor) sendable(e *frontdoor.Ended, bytes int) bool {
	now := clock.Now()
	u := e.SentAt(now, int64(bytes), clientOf(e.Request).Limit())
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
// without a worker. It returns false, and sends nothing, if the answer cannot be sent.
func (d *FrontDoor) respond(e *frontdoor.Ended, outputs []protocol.Tensor, encoded []byte) bool {
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
	c, body := clientOf(r), wire.Borrow()
	defer wire.GiveBack(body)
	*body = c.Append(*body, &response, encoded)
	if !d.sendable(e, len(*body)) {
		return false
	}
	c.outcome = ran(o, now)
	c.Respond(e, *body)
	d.report(r)
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
	r, c, now := e.Request, clientOf(e.Request), time.Now()
	c.outcome = outcome{code: e.Refusal.Code, why: e.Refusal.Message, at: now}
	c.Refuse(e.Refusal)
	d.report(r)
}
