// Package scheduler runs the scheduling core: it is given ClockworkState and
// the workers at activation, and from then on turns requests into actions.
//
// One instance holds the lease and works; others stand by. The core decides;
// this shell only decodes, hands over and sends.
package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"go.uber.org/fx"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/livestats"
	"clockwork/services/host"
)

// Config is everything that can be set of a scheduler.
type Config struct {
	// Policy is the scheduling policy, by name.
	Policy string
	// Core configures it.
	Core sched.Config
	// Telemetry hears of the core's actions and of its pace; nil is nobody.
	Telemetry *watch.Hub
	// Observers are shown what the core of each term is given and what it decides,
	// under the term's lock; none by default.
	Observers []sched.Observer
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Policy: "clockwork", Core: sched.Defaults()} }

// Module runs a scheduler.
var Module = fx.Module("scheduler",
	fx.Provide(New),
	fx.Invoke(func(s *Service, lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger) {
		host.Attach("scheduler", s, lc, sd, log)
	}),
)

// Service is one scheduler, active or standing by.
type Service struct {
	config Config
	broker bus.Config
	id     uint64
	term   atomic.Pointer[term] // nil while another works

	predicted *livestats.Scheduler
}

// New makes a scheduler; Run starts it.
func New(config Config, broker bus.Config) (*Service, error) {
	if _, err := sched.New(config.Policy, config.Core); err != nil {
		return nil, fmt.Errorf("configure scheduler: %w", err)
	}
	broker.Name = "scheduler"
	return &Service{config: config, broker: broker, id: bus.RandomID(), predicted: livestats.NewScheduler()}, nil
}

// Run serves term after term until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	b, err := bus.Open(ctx, s.broker)
	if err != nil {
		return err
	}
	defer b.Close()
	host, _ := os.Hostname() // for people only
	name := protocol.DoorName(s.id)
	heartbeats := b.StartHeartbeats(protocol.Scheduler, name, s.heartbeat)
	defer heartbeats.Stop()
	defer s.config.Telemetry.Register(s.source(b))()
	stop, err := s.startLiveStats(b)
	if err != nil {
		return err
	}
	defer stop()
	for ctx.Err() == nil {
		lease, err := b.Campaign(ctx, "scheduler", bus.Candidate{Kind: protocol.Scheduler, ID: name, Host: host})
		if err != nil {
			return nil // ctx ended while another works
		}
		t, err := newTerm(s.config, s.id, b, lease.Epoch())
		if err == nil {
			t.reportPredictions(s.predicted)
			err = t.serve(ctx, lease, func() { s.term.Store(t); heartbeats.Now() })
			s.term.Store(nil)
		}
		lease.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// heartbeat is that of the present term, if there is one that serves.
func (s *Service) heartbeat() protocol.Heartbeat {
	if t := s.term.Load(); t != nil {
		return t.heartbeat()
	}
	return protocol.Heartbeat{Incarnation: s.id, State: protocol.Standby}
}
