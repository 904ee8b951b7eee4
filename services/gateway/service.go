package gateway

import (
	"context"
	"fmt"
	"log/slog"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
	"clockwork/services/gateway/oip"
	"clockwork/services/host"
)

// Module is the fx module of a gateway.
var Module = host.Module[*Service]("gateway", NewService)

// Service is a gateway: a front door without clients on the broker, and servers of HTTP and gRPC.
type Service struct {
	config Config
	broker bus.Config
}

// NewService makes the service; Run starts it.
func NewService(config Config, broker bus.Config) (*Service, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure gateway: %w", err)
	}
	config.NoClients, config.Health = true, protocol.Gateway
	broker.Name = "gateway"
	broker.Identity.Role = "gateway"
	if broker.Log == nil {
		broker.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{config: config, broker: broker}, nil
}

// Run serves until ctx ends. Clients are heard from the beginning: before the broker is
// reached they are told that nothing serves yet.
func (s *Service) Run(ctx context.Context) error {
	started := s.config.Telemetry.Starting(protocol.FrontDoor, "")
	defer started()
	server := oip.NewServer(oip.Config{Version: s.config.Version, DefaultSLO: s.config.DefaultSLO, ReadingBytes: s.config.ReadingBytes, Gate: s.config.Gate, Telemetry: s.config.Telemetry})
	s.config.HTTP.TLS, s.config.GRPC.TLS = s.config.Gate.TLS(), s.config.Gate.TLS()
	var watching host.Tasks
	defer watching.Stop()
	watched, unwatch := context.WithCancel(context.Background())
	defer unwatch()
	watching.Start(func() { s.config.Gate.Watch(watched, s.broker.Log) })
	in, failed := s.ingresses(server), make(chan error, 2)
	in.start(func(err error) { failed <- err })
	defer in.stop()
	b, err := bus.Open(ctx, s.broker)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	defer b.Close()
	state, err := b.OpenState(ctx)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	door := frontdoor.New(s.config.Config, b, state, nil) // the startup buffer is for clients on the broker
	if err := door.Start(ctx); err != nil {
		return unlessStopped(ctx, err)
	}
	server.Open(door)
	started()
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	in.close()
	server.Close()
	door.Stop()
	in.stop() // the answers are written first, and then the broker is left
	return err
}

// unlessStopped returns why the gateway did not start, nil if it was told to stop before it had.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
