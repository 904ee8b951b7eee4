package grpcapi

import (
	"context"
	"time"

	"google.golang.org/grpc"
	health "google.golang.org/grpc/health/grpc_health_v1"

	"clockwork/pkg/protocol"
)

// healthService is grpc.health.v1, as Kubernetes and load balancers ask. Its services are the
// gateway ("", or the name of the inference service) and each model.
var healthService = grpc.ServiceDesc{
	ServiceName: health.Health_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Metadata:    health.Health_ServiceDesc.Metadata,
	Streams: []grpc.StreamDesc{
		call("Check", (*Server).checkHealth),
		{StreamName: "Watch", ServerStreams: true, Handler: func(srv any, stream grpc.ServerStream) error { return srv.(*Server).watchHealth(stream) }},
	},
}

func (s *Server) checkHealth(_ context.Context, in *health.HealthCheckRequest) (*health.HealthCheckResponse, *protocol.Error) {
	if in.Service != "" && in.Service != inferenceService.ServiceName {
		if _, refusal := s.oip.Model(in.Service, ""); refusal != nil {
			return nil, refusal
		}
	}
	status := health.HealthCheckResponse_SERVING
	if s.oip.Unready() != "" {
		status = health.HealthCheckResponse_NOT_SERVING
	}
	return &health.HealthCheckResponse{Status: status}, nil
}

// watchEvery is how often a watched health is looked at.
const watchEvery = 500 * time.Millisecond

// watchHealth sends the health now, and each time that it changes.
func (s *Server) watchHealth(stream grpc.ServerStream) error {
	var in health.HealthCheckRequest
	if err := s.receive(stream, &in); err != nil {
		return err
	}
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	last := health.HealthCheckResponse_UNKNOWN
	for {
		now, refusal := s.checkHealth(stream.Context(), &in)
		if refusal != nil { // the protocol wants an answer, since the service may come to be
			now = &health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVICE_UNKNOWN}
		}
		if now.Status != last {
			last = now.Status
			if err := stream.SendMsg(now); err != nil {
				return err
			}
		}
		select {
		case <-every.C:
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-s.closing:
			return refuse(stream, protocol.Refusal(protocol.ShuttingDown))
		}
	}
}
