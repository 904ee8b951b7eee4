package frontdoor

import (
	"context"
	"fmt"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/services/host"
)

// Module is the fx module of a separate front door.
var Module = host.Module[*Service]("front door", NewService)

// Service is a front door without a controller in its process. It takes requests
// as every front door does; the leading controller's front door submits the
// requests that wait for activation.
type Service struct {
	config Config
	broker bus.Config
}

// NewService makes the service; Run starts it.
func NewService(config Config, broker bus.Config) (*Service, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure front door: %w", err)
	}
	broker.Name = "front door"
	broker.Identity.Role = "frontdoor"
	return &Service{config: config, broker: broker}, nil
}

// Run serves until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	started := s.config.Telemetry.Starting(protocol.FrontDoor, "")
	defer started()
	b, err := bus.Open(ctx, s.broker)
	if err != nil {
		return err
	}
	defer b.Close()
	state, err := b.OpenState(ctx)
	if err != nil {
		return err
	}
	buffer, err := b.OpenBuffer(ctx, s.config.Buffer())
	if err != nil {
		return err
	}
	d := New(s.config, b, state, buffer)
	if err := d.Start(ctx); err != nil {
		return err
	}
	defer d.Stop()
	started()
	<-ctx.Done()
	return nil
}
