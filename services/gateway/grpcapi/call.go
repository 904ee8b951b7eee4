package grpcapi

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/grpcapi/oippb"
)

// file is where the service is described, for clients that ask for that.
const file = "services/gateway/grpcapi/oippb/inference.proto"

var inferenceService = grpc.ServiceDesc{
	ServiceName: "inference.GRPCInferenceService",
	HandlerType: (*any)(nil),
	Metadata:    file,
	Streams: []grpc.StreamDesc{
		call("ServerLive", (*Server).serverLive),
		call("ServerReady", (*Server).serverReady),
		call("ModelReady", (*Server).modelReady),
		call("ServerMetadata", (*Server).serverMetadata),
		call("ModelMetadata", (*Server).modelMetadata),
		call("ModelConfig", (*Server).modelConfig),
		call("ModelStatistics", (*Server).modelStatistics),
		{StreamName: "ModelInfer", Handler: func(srv any, stream grpc.ServerStream) error { return srv.(*Server).modelInfer(stream) }},
		{StreamName: "ModelStreamInfer", ServerStreams: true, ClientStreams: true,
			Handler: func(srv any, stream grpc.ServerStream) error { return srv.(*Server).modelStreamInfer(stream) }},
	},
}

// message is a generated message *M.
type message[M any] interface {
	proto.Message
	*M
}

// call describes a call with one message and one answer.
func call[In, Out any, PIn message[In], POut message[Out]](name string, f func(*Server, context.Context, PIn) (POut, *protocol.Error)) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, Handler: func(srv any, stream grpc.ServerStream) error {
		s, in := srv.(*Server), PIn(new(In))
		if err := s.receive(stream, in); err != nil {
			return err
		}
		out, refusal := f(s, stream.Context(), in)
		if refusal != nil {
			return refuse(stream, refusal)
		}
		return stream.SendMsg(out)
	}}
}

// receive reads the message of a call that has one, within the time for that. An error is the
// status that the library has answered with.
func (s *Server) receive(stream grpc.ServerStream, into any) error {
	defer s.waiting.Add(-1)
	if n := s.waiting.Add(1); n > s.config.WaitingCalls {
		return refuse(stream, beyond("%d calls wait for their messages at this gateway", n-1, s.config.WaitingCalls))
	}
	c := connOf(stream.Context())
	late := time.AfterFunc(s.config.MessageTime, func() { c.giveUp("the message of a call did not come in time") })
	defer late.Stop()
	return stream.RecvMsg(into)
}

func (s *Server) serverLive(context.Context, *oippb.ServerLiveRequest) (*oippb.ServerLiveResponse, *protocol.Error) {
	return &oippb.ServerLiveResponse{Live: true}, nil
}

func (s *Server) serverReady(context.Context, *oippb.ServerReadyRequest) (*oippb.ServerReadyResponse, *protocol.Error) {
	return &oippb.ServerReadyResponse{Ready: s.oip.Unready() == ""}, nil
}

func (s *Server) modelReady(_ context.Context, in *oippb.ModelReadyRequest) (*oippb.ModelReadyResponse, *protocol.Error) {
	if _, refusal := s.oip.Model(in.Name, in.Version); refusal != nil {
		return nil, refusal
	}
	return &oippb.ModelReadyResponse{Ready: s.oip.ModelUnready(in.Name) == ""}, nil
}

func (s *Server) serverMetadata(context.Context, *oippb.ServerMetadataRequest) (*oippb.ServerMetadataResponse, *protocol.Error) {
	m := s.oip.Metadata()
	return &oippb.ServerMetadataResponse{Name: m.Name, Version: m.Version, Extensions: m.Extensions}, nil
}
