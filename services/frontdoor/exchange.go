package frontdoor

import (
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Exchange is one message of a client and its answer, as an ingress has them: how the body is
// read, and how the answer is written. NATS is one ingress (natsIngress), HTTP another one
// (services/gateway). What is decided about a request, and when, stands in none of them.
type Exchange interface {
	// Subject names the message in traces.
	Subject() string
	// Read reads the body. The model may be unknown so far.
	Read(spec *protocol.ModelSpec, known bool, e *frontdoor.Decoded) *protocol.Error
	// Refuse answers a message that goes no further.
	Refuse(refusal *protocol.Error)

	// End is called once with the answer of a request that was admitted. It does not block;
	// FrontDoor.Send, which it calls or has called, writes the answer by means of the rest.
	End(e frontdoor.Ended)
	// Tensors encodes the part of an OK that takes long; nil for none. The rest of the answer
	// depends on how long.
	Tensors(outputs []protocol.Tensor) []byte
	// Append appends an OK with the tensors that were encoded before.
	Append(dst []byte, r *protocol.InferResponse, tensors []byte) []byte
	// Limit is how many bytes an OK may have.
	Limit() int64
	// Respond sends an OK that Append wrote; body is valid until it returns.
	Respond(e *frontdoor.Ended, body []byte)
}

// client is the shell's part of a request: Request.Driver.
type client struct {
	Exchange
	trace   watch.Trace
	outcome outcome // set when the request is answered
}

func clientOf(r *frontdoor.Request) *client { return r.Driver.(*client) }
