package grpcapi

import (
	"context"
	"math"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"

	core "clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
	"clockwork/services/gateway/oip"
)

// modelInfer takes a request and answers it.
func (s *Server) modelInfer(stream grpc.ServerStream) error {
	var end error
	uncompressed(stream)
	x := s.newExchange(stream)
	x.refuse = func(refusal *protocol.Error) { end = refuse(stream, refusal) }
	x.respond = func(a *answer) { end = stream.SendMsg(a) }
	if err := s.receive(stream, &x.in); err != nil {
		return err
	}
	x.run()
	return end
}

// exchange is a request over gRPC and its answer.
type exchange struct {
	oip.Infer
	of       *Server
	ctx      context.Context
	header   metadata.MD
	conn     *conn
	inStream bool
	in       request
	outputs  []protocol.Tensor

	// These answer; one of them is called once.
	refuse  func(*protocol.Error)
	respond func(*answer)
}

// uncompressed has the answers of a call not compressed: floats gain nothing. It is called
// before any is sent.
func uncompressed(stream grpc.ServerStream) {
	_ = grpc.SetSendCompressor(stream.Context(), encoding.Identity) // it fails for what is no call
}

func (s *Server) newExchange(stream grpc.ServerStream) *exchange {
	ctx := stream.Context()
	header, _ := metadata.FromIncomingContext(ctx)
	return &exchange{Infer: s.oip.NewInfer(), of: s, ctx: ctx, header: header, conn: connOf(ctx)}
}

// run gives the request to the front door, and returns when it is answered.
func (x *exchange) run() {
	if request := x.take(); request != nil {
		x.Answer(x.ctx, request)
	}
}

// take gives the request to the front door. It returns nil if it is answered.
func (x *exchange) take() *core.Request {
	tenant, refusal := x.of.tenant(x.ctx) // of each message: a token may be gone since the call began
	if refusal != nil {
		x.refuse(refusal)
		return nil
	}
	in := core.Inbound{Model: x.in.model, Tenant: tenant, Direct: true, Bytes: x.in.bytes}
	request, absent := x.Take(&in, x, x.header)
	if absent != nil {
		x.refuse(absent)
	}
	return request
}

// Subject implements frontdoor.Exchange.
func (x *exchange) Subject() string { return "ModelInfer " + x.in.model }

// Read implements frontdoor.Exchange.
func (x *exchange) Read(spec *protocol.ModelSpec, known bool, e *core.Decoded) (fault *protocol.Error) {
	if n := x.of.listener.unread.Load(); n > x.of.config.UnreadBytes {
		return beyond("%d bytes of answers are not read by their clients at this gateway", n, x.of.config.UnreadBytes)
	}
	if x.in.fault != nil {
		return x.in.fault
	}
	if fault = oip.CheckVersion(spec, x.in.version); fault != nil {
		return fault
	}
	if e.SLO, fault = x.of.oip.Budget(x.ctx, first(x.header, protocol.TimeoutHeader), x.in.Parameters); fault != nil {
		return fault
	}
	return frontdoor.Fill(e, &x.in.InferRequest, spec, known)
}

// first is the first value of a key.
func first(header metadata.MD, key string) string {
	if values := header.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Refuse implements frontdoor.Exchange.
func (x *exchange) Refuse(refusal *protocol.Error) { x.refuse(refusal) }

// Tensors implements frontdoor.Exchange: raw data takes no encoding.
func (x *exchange) Tensors([]protocol.Tensor) []byte { return nil }

// Append implements frontdoor.Exchange. The outputs' data are sent as they are, behind it.
func (x *exchange) Append(dst []byte, r *protocol.InferResponse, _ []byte) []byte {
	x.outputs = r.Outputs
	return appendHead(dst, r)
}

// Limit implements frontdoor.Exchange: a connection carries answers of any size.
func (x *exchange) Limit() int64 { return math.MaxInt64 }

// Respond implements frontdoor.Exchange.
func (x *exchange) Respond(_ *core.Ended, head []byte) {
	x.respond(newAnswer(head, x.outputs, x.conn, x.inStream))
}
