package grpcapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/oip"
)

// Server hears gRPC.
type Server struct {
	config   Config
	oip      *oip.Server
	log      *slog.Logger
	listener *listener
	grpc     *grpc.Server
	closing  chan struct{} // closed by Close: calls with many messages take no more
	served   chan struct{} // closed when no more connections are accepted

	waiting atomic.Int64 // calls whose message has not come yet
	streams atomic.Int64 // calls that take many messages
}

// The windows of flow control, in bytes. What a client may send of a call before it is read is
// small, and grows for a message once its length is known; fixed sizes also end the library's
// own growth of them.
const (
	callWindow       = 64 << 10
	connectionWindow = 4 << 20
)

// Bounds of a connection: its buffers, and what stands before the messages of its calls, in
// bytes; the time for its first exchange; and how often a client may ask whether it is there.
const (
	buffer        = 16 << 10
	maxHeader     = 16 << 10
	handshakeTime = 5 * time.Second
	pingEvery     = 10 * time.Second
	askEvery      = time.Minute
	pingAnswer    = 20 * time.Second
)

// NewServer makes a server; Start starts it.
func NewServer(config Config, of *oip.Server, log *slog.Logger) *Server {
	s := &Server{config: config, oip: of, log: log, closing: make(chan struct{}), served: make(chan struct{})}
	s.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(config.MaxMessage),
		grpc.MaxConcurrentStreams(config.Calls),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.InitialWindowSize(callWindow), grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(buffer), grpc.WriteBufferSize(buffer), grpc.SharedWriteBuffer(true),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: config.IdleTime, Time: askEvery, Timeout: pingAnswer}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingEvery, PermitWithoutStream: true}),
		grpc.StreamInterceptor(s.admit),
		grpc.WaitForHandlers(true),
	)
	s.grpc.RegisterService(&inferenceService, s)
	s.grpc.RegisterService(&healthService, s)
	reflection.Register(s.grpc)
	return s
}

// Start hears clients. failed is called at most once, when they are not heard any more.
func (s *Server) Start(failed func(error)) {
	reading := func() meter { return newMeter(s.oip.Reading(), s.config.MaxMessage) }
	limited := netutil.LimitListener(s.config.Listener, s.config.Connections)
	if s.config.TLS != nil {
		limited = tls.NewListener(limited, s.config.TLS)
	}
	s.listener = newListener(limited, s.config, reading, s.log)
	go func() {
		defer close(s.served)
		if err := s.grpc.Serve(s.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			failed(fmt.Errorf("hear gRPC: %w", err))
		}
	}()
}

// Close ends the calls that take many messages, after their answers.
func (s *Server) Close() { close(s.closing) }

// closeWait bounds the wait for answers that are being written when the server stops.
const closeWait = time.Second

// Stop ends all connections, after the answers that are being written.
func (s *Server) Stop() {
	force := time.AfterFunc(closeWait, s.grpc.Stop) // a client does not read
	s.grpc.GracefulStop()
	force.Stop()
	<-s.served
	s.listener.stop()
}

// admit lets those calls in whose clients may be here, and bounds how many are open, all together.
func (s *Server) admit(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if !asksForHealth(info.FullMethod) {
		if _, refusal := s.tenant(stream.Context()); refusal != nil {
			return refuse(stream, refusal)
		}
	}
	if !info.IsClientStream && !info.IsServerStream {
		return handle(srv, stream)
	}
	defer s.streams.Add(-1)
	if n := s.streams.Add(1); n > s.config.Streams {
		return refuse(stream, beyond("%d calls with many messages are open at this gateway", n-1, s.config.Streams))
	}
	return handle(srv, stream)
}

// tenant is whose call it is, "" for nobody in particular.
func (s *Server) tenant(ctx context.Context) (string, *protocol.Error) {
	header, _ := metadata.FromIncomingContext(ctx)
	return s.oip.Tenant(first(header, "authorization"))
}

// asksForHealth reports whether a call is a probe's, which has no token.
func asksForHealth(method string) bool {
	switch method {
	case "/" + inferenceService.ServiceName + "/ServerLive", "/" + inferenceService.ServiceName + "/ServerReady":
		return true
	}
	return strings.HasPrefix(method, "/"+healthService.ServiceName+"/")
}

// beyond is the refusal of what goes beyond a bound of the gateway.
func beyond(format string, got, limit int64) *protocol.Error {
	fault := protocol.Errorf(protocol.Overloaded, format, got)
	fault.Got, fault.Limit = got, limit
	return fault
}
