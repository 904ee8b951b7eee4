// Package worker executes models on one host's GPUs: it carries out each action
// within the action's window, or refuses it. It decides, reorders and retries
// nothing.
//
// pkg/core/work decides; this shell decodes, takes one lock, steps the core and
// carries out its output: it calls the backend's devices from goroutines of each
// GPU, and sends outputs and results.
//
//	action, input -> core -> stage, execute, fetch, transfer -> core -> outputs, results
//	(step.go)                (gpu.go)                                   (agent.go: send)
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"go.uber.org/fx"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/services/host"
)

// Module runs one worker per configuration.
var Module = fx.Module("worker",
	fx.Invoke(func(configs []Config, broker bus.Config, lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger) error {
		for _, config := range configs {
			s, err := New(config, broker)
			if err != nil {
				return err
			}
			host.Attach("worker "+config.Name, s, lc, sd, log)
		}
		return nil
	}),
)

// Service is one worker.
type Service struct {
	config Config
	broker bus.Config
}

// New makes a worker; Run starts it.
func New(config Config, broker bus.Config) (*Service, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure worker: %w", err)
	}
	broker.Name = "worker " + config.Name
	broker.Identity = bus.Identity{Role: "worker", Name: config.Name}
	return &Service{config: config, broker: broker}, nil
}

// Run serves until ctx ends, or until another worker holds the name or a device.
func (s *Service) Run(ctx context.Context) error {
	started := s.config.Telemetry.Starting(protocol.Worker, s.config.Name)
	defer started()
	b, err := bus.Open(ctx, s.broker)
	if err != nil {
		return err
	}
	defer b.Close()
	lease, err := s.takeName(ctx, b)
	if err != nil {
		return err
	}
	defer lease.Release()
	devices, err := s.takeDevices(ctx, b)
	if err != nil {
		return err
	}
	defer devices.release()
	backend, err := s.config.Open(devices.names)
	if err != nil {
		return fmt.Errorf("open backend: %w", err)
	}
	a := newAgent(s.config, b, backend)
	if err := a.start(); err != nil {
		return errors.Join(err, a.stop())
	}
	started()
	var lost error
	select {
	case <-ctx.Done():
	case <-lease.Lost():
		lost = fmt.Errorf("another worker is called %s now", s.config.Name)
	case <-devices.lost():
		lost = fmt.Errorf("another worker than %s has a device of this host now: it had %s", s.config.Name, strings.Join(devices.names, " "))
	}
	return errors.Join(lost, a.stop())
}

func (s *Service) takeName(ctx context.Context, b *bus.Bus) (*bus.Lease, error) {
	key, holder := "worker."+s.config.Name, "a worker process"
	lease, err := b.Acquire(ctx, key, holder)
	if err == nil {
		return lease, nil
	}
	if errors.Is(err, bus.ErrHeld) {
		b.Log.Info("the name is taken; waiting to see whether its holder is alive", "worker", s.config.Name, "for", s.config.NameWait)
	}
	wait, cancel := context.WithTimeout(ctx, s.config.NameWait)
	defer cancel()
	if lease, err = b.AcquireWait(wait, key, holder); err == nil {
		return lease, nil
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !errors.Is(err, bus.ErrHeld):
		return nil, fmt.Errorf("take the name %s: %w", s.config.Name, err)
	}
	return nil, fmt.Errorf("a living worker is called %s already; give this one another --name", s.config.Name)
}
