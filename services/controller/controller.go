// Package controller runs the startup phase and maintains ClockworkState.
//
// Every instance runs a front door (services/frontdoor), unless the stack's
// front doors are separate processes. The instance that holds the lease leads:
// it drives pkg/core/startup, answers the control endpoints and owns the startup
// buffer.
package controller

import (
	"context"
	"fmt"
	"os"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/services/frontdoor"
	"clockwork/services/host"
)

// Module is the fx module of a controller.
var Module = host.Module[*Service]("controller", New)

// Service is one controller.
type Service struct {
	config Config
	broker bus.Config
}

// New makes a controller; Run starts it.
func New(config Config, broker bus.Config) (*Service, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure controller: %w", err)
	}
	broker.Name = "controller"
	broker.Identity.Role = "controller"
	return &Service{config: config, broker: broker}, nil
}

// Run serves until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	started := s.config.Telemetry.Starting(protocol.Controller, "")
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
	door := frontdoor.New(s.config.Config, b, state, buffer)
	if err := door.Start(ctx); err != nil {
		return err
	}
	defer door.Stop()
	started()
	defer s.config.Telemetry.Register(watch.Source{Service: protocol.Controller, Name: door.Name(), Ready: b.Unready})()
	host, _ := os.Hostname() // for display only
	unreadable := ""
	for ctx.Err() == nil {
		lease, err := b.Campaign(ctx, "controller", bus.Candidate{Kind: protocol.FrontDoor, ID: door.Name(), Host: host})
		if err != nil {
			return nil // ctx ended while another instance led
		}
		l := newLeader(s.config, b, buffer, door, &unreadable)
		err = l.lead(ctx, lease)
		lease.Release()
		if err != nil {
			return err
		}
	}
	return nil
}
