// Package scheduler runs the scheduling core: the core receives ClockworkState
// and the workers at activation, and then turns requests into actions.
//
// The instance with the lease is active; the others are standbys. The core
// decides; this shell only decodes, steps the core and sends its decisions.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/livestats"
	"clockwork/services/host"
)

// Config is the configuration of a scheduler.
type Config struct {
	// Policy is the scheduling policy, by name.
	Policy string
	// Core configures the policy.
	Core sched.Config
	// Telemetry is the hub that receives the core's actions and step durations; nil
	// for none.
	Telemetry *watch.Hub
	// Observers are shown each term, under its lock; none by default.
	Observers sched.TermObservers
}

func DefaultConfig() Config { return Config{Policy: "clockwork", Core: sched.Defaults()} }

// Module is the fx module of a scheduler.
var Module = host.Module[*Service]("scheduler", New)

// Service is one scheduler, active or standby.
type Service struct {
	config Config
	broker bus.Config
	id     uint64
	term   atomic.Pointer[term] // nil without the lease

	predicted *livestats.Scheduler
	complaint bus.Complaint // of elections
}

// New makes a scheduler; Run starts it.
func New(config Config, broker bus.Config) (*Service, error) {
	if _, err := sched.New(config.Policy, config.Core); err != nil {
		return nil, fmt.Errorf("configure scheduler: %w", err)
	}
	broker.Name = "scheduler"
	broker.Identity.Role = "scheduler"
	return &Service{config: config, broker: broker, id: bus.RandomID(), predicted: livestats.NewScheduler()}, nil
}

// Run runs terms until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	started := s.config.Telemetry.Starting(protocol.Scheduler, protocol.DoorName(s.id))
	defer started()
	b, err := bus.Open(ctx, s.broker)
	if err != nil {
		return err
	}
	defer b.Close()
	host, _ := os.Hostname() // for display only
	name := protocol.DoorName(s.id)
	heartbeats := b.StartHeartbeats(protocol.Scheduler, name, s.heartbeat)
	defer heartbeats.Stop()
	started()
	defer s.config.Telemetry.Register(s.source(b))()
	others, err := b.OnHeartbeats(protocol.Scheduler, s.onScheduler)
	if err != nil {
		return err
	}
	defer func() { _ = others.Unsubscribe() }() // the subscription ends with the connection at the latest
	stop, err := s.startLiveStats(b)
	if err != nil {
		return err
	}
	defer stop()
	for ctx.Err() == nil {
		lease, err := b.Campaign(ctx, "scheduler", bus.Candidate{Kind: protocol.Scheduler, ID: name, Host: host})
		if err != nil {
			return nil // ctx ended while another scheduler was active
		}
		err = s.serve(ctx, b, lease, heartbeats)
		lease.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// serve serves for the term of a lease.
func (s *Service) serve(ctx context.Context, b *bus.Bus, lease *bus.Lease, heartbeats *bus.Heartbeater) error {
	epoch, err := elect(ctx, b, lease)
	if err != nil {
		if !errors.Is(err, bus.ErrFenced) { // then another one has the lease
			s.complaint.Warn(b.Log, time.Now(), "no epoch from the store; campaigning again", err)
		}
		clock.Pause(ctx, electPause)
		return nil
	}
	t, err := newTerm(s.config, s.id, b, epoch)
	if err != nil {
		return err
	}
	t.reportPredictions(s.predicted)
	defer s.term.Store(nil)
	return t.serve(ctx, lease, func() { s.term.Store(t); heartbeats.Now() })
}

// electWait bounds how long a scheduler with the lease waits for its epoch; electPause is the
// pause before it campaigns again.
const (
	electWait  = 2 * time.Second
	electPause = 100 * time.Millisecond
)

// elect returns the epoch of the holder of a lease. The store gives it, as it gives terms to
// controllers: nothing else makes an epoch.
func elect(ctx context.Context, b *bus.Bus, lease *bus.Lease) (epoch uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, electWait)
	defer cancel()
	state, err := b.OpenEpochs(ctx) // it may have been lost
	if err != nil {
		return 0, err
	}
	elected, err := state.Lead(ctx, protocol.Scheduler, lease)
	if err != nil {
		return 0, err
	}
	return elected.Term(), nil
}

// onScheduler tells the term of other schedulers: what a worker says of their epochs counts only
// with such a witness.
func (s *Service) onScheduler(h protocol.Heartbeat) {
	if h.ID == protocol.DoorName(s.id) {
		return
	}
	if t := s.term.Load(); t != nil {
		t.take(&sched.SchedulerBeat{Heartbeat: h})
	}
}

// heartbeat returns that of the current term, or a standby's.
func (s *Service) heartbeat() protocol.Heartbeat {
	if t := s.term.Load(); t != nil {
		return t.heartbeat()
	}
	return protocol.Heartbeat{Incarnation: s.id, State: protocol.Standby}
}
