package client

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Outcome is how a request sent through Async ended.
type Outcome struct {
	// Code is OK or the code with which the stack refused the request.
	Code protocol.Code
	// Parameters say where the time of a served request went.
	Parameters protocol.ResponseParameters
	// Body is the reply as received.
	Body []byte

	foreign *protocol.Error // another program sent it
}

// Refusal returns the full error of a refused request, nil for a served one.
func (o Outcome) Refusal() *protocol.Error {
	if o.Code == protocol.OK {
		return nil
	}
	if o.foreign != nil {
		return o.foreign
	}
	if refusal := wire.DecodeError(o.Body); refusal != nil {
		return refusal
	}
	return protocol.Refusal(o.Code)
}

// Async sends inference requests without waiting for their answers: a request costs a
// message and no goroutine, so tens of thousands can be open per second. It watches no
// deadline; if an answer is lost, the callback is never called for its request.
type Async struct {
	client   *Client
	inbox    string
	answered func(token uint64, o Outcome)
}

// Async returns an Async on the client's connection. answered is called from one
// goroutine, for each answer with the token of its request; it must not block.
func (c *Client) Async(answered func(token uint64, o Outcome)) (*Async, error) {
	a := &Async{client: c, inbox: c.nc.NewInbox() + ".", answered: answered}
	sub, err := c.nc.Subscribe(a.inbox+"*", a.onReply)
	if err == nil {
		err = sub.SetPendingLimits(1<<20, 512<<20)
	}
	if err == nil {
		err = c.nc.Flush() // so that the broker knows the subscription before the first request
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	return a, nil
}

// Subject returns the subject for a model's requests.
func (a *Async) Subject(model string) string { return a.client.InferSubject(model) }

// Send publishes a request, encoded by wire.EncodeInfer, on a model's Subject. The body
// may be changed once Send returns. Only one goroutine may call Send.
func (a *Async) Send(subject string, token uint64, body []byte) error {
	if a.client.refused.Load() {
		if refusal := a.client.Denied(subject); refusal != nil {
			return refusal
		}
	}
	var reply [96]byte
	inbox := strconv.AppendUint(append(reply[:0], a.inbox...), token, 36)
	if err := a.client.nc.PublishRequest(subject, string(inbox), body); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	return nil
}

func (a *Async) onReply(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 36, 64)
	if err != nil {
		return // no request had this inbox
	}
	if nobody(m) {
		a.answered(token, Outcome{Code: protocol.StateUnavailable})
		return
	}
	o := Outcome{Body: m.Data}
	o.Parameters, o.Code = wire.DecodeOutcome(m.Data)
	if why := o.flaw(); why != "" {
		o.foreign = foreign(a.client.InferSubject("*"), why)
		o.Parameters, o.Code = protocol.ResponseParameters{}, protocol.BadMessage
	}
	a.answered(token, o)
}

// flaw returns why a reply is not Clockwork's, "" if it may be. Outputs are not read.
func (o *Outcome) flaw() string {
	switch o.Code {
	case protocol.OK:
		return parametersFlaw(&o.Parameters)
	case protocol.BadMessage: // the stack's, or that the reply cannot be read
		if refusal, _ := wire.ReadError(o.Body); refusal == nil {
			return "it is neither an answer nor an error"
		}
	}
	return ""
}
