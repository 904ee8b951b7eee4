package grpcapi

import (
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/grpcapi/oippb"
)

// modelStreamInfer answers each request of a stream as it ends; their ids pair them.
func (s *Server) modelStreamInfer(stream grpc.ServerStream) error {
	uncompressed(stream)
	c := &inferStream{of: s, stream: stream, slots: make(chan struct{}, s.config.StreamInFlight)}
	received := make(chan error, 1)
	go func() { received <- c.receive() }()
	select {
	case err := <-received:
		c.finish()
		return err
	case <-s.closing:
		c.finish()
		return refuse(stream, protocol.Refusal(protocol.ShuttingDown))
	}
}

// inferStream is a ModelStreamInfer.
type inferStream struct {
	of     *Server
	stream grpc.ServerStream
	slots  chan struct{} // of requests that have no answer yet

	mu    sync.Mutex // held while an answer is sent
	ended bool       // nothing is sent any more
}

// receive takes requests until the client sends no more, or until the call ends.
func (c *inferStream) receive() error {
	for {
		x := c.of.newExchange(c.stream)
		x.inStream = true
		x.refuse = func(refusal *protocol.Error) { c.send(c.refusal(x, refusal)) }
		x.respond = func(a *answer) { c.send(a) }
		if err := c.stream.RecvMsg(&x.in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case c.slots <- struct{}{}:
		case <-c.stream.Context().Done():
			return c.stream.Context().Err()
		}
		c.begin(x)
	}
}

// begin takes a request in the order in which it came; its answer has a goroutine that waits
// for it.
func (c *inferStream) begin(x *exchange) {
	request := x.take()
	if request == nil {
		<-c.slots
		return
	}
	go func() {
		x.Answer(x.ctx, request)
		<-c.slots
	}()
}

// finish waits until all requests are answered.
func (c *inferStream) finish() {
	for range cap(c.slots) {
		c.slots <- struct{}{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

// send sends an answer; one that is not sent any more has nobody who waits for it.
func (c *inferStream) send(m any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	if err := c.stream.SendMsg(m); err != nil {
		c.of.log.Debug("answer not sent", "error", err) // the client is gone
	}
}

// refusal is a refusal within a stream: its text as the protocol has it, and beside it what
// pairs it with its request, and its code and numbers.
func (c *inferStream) refusal(x *exchange, e *protocol.Error) *oippb.ModelStreamInferResponse {
	parameters := map[string]*oippb.InferParameter{
		"code": {ParameterChoice: &oippb.InferParameter_StringParam{StringParam: string(e.Code)}},
	}
	for _, n := range numbers(e) {
		if n.value != 0 {
			parameters[n.name] = &oippb.InferParameter{ParameterChoice: &oippb.InferParameter_DoubleParam{DoubleParam: n.value}}
		}
	}
	return &oippb.ModelStreamInferResponse{
		ErrorMessage:  textOf(e),
		InferResponse: &oippb.ModelInferResponse{ModelName: protocol.ShortText(x.in.model, protocol.MaxName), Id: protocol.ShortText(x.in.ID, protocol.MaxName), Parameters: parameters},
	}
}
