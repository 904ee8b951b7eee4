package client

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Outcome is how a request ended that was sent without waiting for it.
type Outcome struct {
	// Code is OK or what the stack refused the request with.
	Code protocol.Code
	// Parameters say where the time of a request went that was served.
	Parameters protocol.ResponseParameters
	// Body is the reply as it came.
	Body []byte
}

// Refusal is the whole error of an outcome that is none of a served request.
func (o Outcome) Refusal() *protocol.Error {
	if o.Code == protocol.OK {
		return nil
	}
	if refused := wire.DecodeError(o.Body); refused != nil {
		return refused
	}
	return protocol.Refusal(o.Code)
}

// Async sends inference requests without waiting for their answers: a request
// costs a message and no goroutine, so tens of thousands a second can be open.
// It watches no deadline; a request whose answer is lost is never told of.
type Async struct {
	client   *Client
	inbox    string
	answered func(token uint64, o Outcome)
}

// Async opens a way for requests over the client's connection. answered is
// called from one goroutine, for each answer with the token of its request; it
// must not block.
func (c *Client) Async(answered func(token uint64, o Outcome)) (*Async, error) {
	a := &Async{client: c, inbox: c.nc.NewInbox() + ".", answered: answered}
	sub, err := c.nc.Subscribe(a.inbox+"*", a.onReply)
	if err == nil {
		err = sub.SetPendingLimits(1<<20, 512<<20)
	}
	if err == nil {
		err = c.nc.Flush() // so that the broker knows of it before the first request
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	return a, nil
}

// Subject is where requests for a model go.
func (a *Async) Subject(model string) string { return a.client.InferSubject(model) }

// Send publishes a request, which wire.EncodeInfer wrote, on a model's Subject.
// The body may be changed once it returns. One goroutine sends.
func (a *Async) Send(subject string, token uint64, body []byte) error {
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
		return // nobody was given such an inbox
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		a.answered(token, Outcome{Code: protocol.StateUnavailable})
		return
	}
	o := Outcome{Body: m.Data}
	o.Parameters, o.Code = wire.DecodeOutcome(m.Data)
	a.answered(token, o)
}
