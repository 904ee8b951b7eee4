// Package profiler measures how long models take: the weight transfer and each
// batch size, on each type of GPU, through the same worker actions that serve
// requests later. The controller says when; what is stored already under the
// same key is not measured again.
package profiler

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/fx"

	"clockwork/pkg/bus"
	"clockwork/pkg/protocol"
	"clockwork/services/host"
)

// Config is everything that can be set of a profiler.
type Config struct {
	// Iterations is how often each action is measured.
	Iterations int
	// ActionTimeout is how long one action may take before its worker counts
	// as hung.
	ActionTimeout time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Iterations: 10, ActionTimeout: 30 * time.Second} }

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	if c.Iterations < 1 {
		return fmt.Errorf("iterations is %d; it must be at least 1", c.Iterations)
	}
	if c.ActionTimeout <= 0 {
		return fmt.Errorf("action-timeout is %v; it must be positive", c.ActionTimeout)
	}
	return nil
}

// Module runs a profiler.
var Module = fx.Module("profiler",
	fx.Provide(New),
	fx.Invoke(func(s *Service, lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger) {
		host.Attach("profiler", s, lc, sd, log)
	}),
)

// Service is a profiler. It works on one job at a time.
type Service struct {
	config Config
	broker bus.Config
	id     uint64

	bus     *bus.Bus
	state   *bus.State
	jobs    chan bus.ProfileJob
	current atomic.Uint64 // id of the job at work, 0 for none
	actions *bus.Caller
}

// New makes a profiler; Run starts it.
func New(config Config, broker bus.Config) (*Service, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure profiler: %w", err)
	}
	broker.Name = "profiler"
	return &Service{
		config: config,
		broker: broker,
		id:     bus.RandomID(),
		jobs:   make(chan bus.ProfileJob, 1),
	}, nil
}

// Run serves until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	b, err := bus.Open(ctx, s.broker)
	if err != nil {
		return err
	}
	defer b.Close()
	s.bus = b
	if s.state, err = b.OpenState(ctx); err != nil {
		return err
	}
	if s.actions, err = b.NewCaller(s.id, s.config.ActionTimeout); err != nil {
		return err
	}
	if _, err := b.QueueSubscribe(b.Control, b.Subjects.ProfilerStart(), "profiler", s.onStart); err != nil {
		return err
	}
	pulse := b.StartPulse(protocol.Profiler, protocol.DoorName(s.id), s.heartbeat)
	defer pulse.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case job := <-s.jobs:
			s.current.Store(job.ID)
			pulse.Now()
			report := s.profile(ctx, job)
			if ctx.Err() == nil {
				s.report(report)
			}
			s.current.Store(0)
		}
	}
}

// heartbeat says which job is at work; the controller sends a lost one again.
func (s *Service) heartbeat() protocol.Heartbeat {
	h := protocol.Heartbeat{Incarnation: s.id, State: "idle"}
	if job := s.current.Load(); job != 0 {
		h.State = strconv.FormatUint(job, 10)
		h.InFlight = 1
	}
	return h
}

func (s *Service) onStart(m *nats.Msg) {
	job, fault := bus.Job.Decode(m.Data)
	if fault != nil {
		s.bus.Log.Warn("bad profile job", "error", fault)
		return
	}
	if s.current.Load() == job.ID {
		return // it was sent again while we work on it
	}
	select {
	case s.jobs <- job:
	default: // one waits already; the controller sends this again
	}
}

func (s *Service) report(r bus.ProfileReport) {
	if err := s.bus.Control.Publish(s.bus.Subjects.ProfilerReport(), bus.Report.Encode(&r)); err != nil {
		s.bus.Log.Warn("profile report not sent", "error", err) // we go idle; the job comes again
	}
}

// profile measures what is missing and returns all profiles of the job.
func (s *Service) profile(ctx context.Context, job bus.ProfileJob) bus.ProfileReport {
	plan := s.plan(ctx, job)
	s.bus.Log.Info("profiling", "job", job.ID, "models", len(job.Models), "units", len(plan.units), "stored", len(plan.stored))
	p := &progress{bus: s.bus, total: plan.steps}
	results := make(chan outcome, len(plan.units))
	var lanes sync.WaitGroup
	for _, gpu := range plan.gpus {
		lanes.Go(func() { s.lane(ctx, gpu, plan, p, results) })
	}
	lanes.Wait()
	close(results)
	report := bus.ProfileReport{ID: job.ID, Profiles: plan.stored}
	for o := range results {
		if o.reason == "" {
			report.Profiles = append(report.Profiles, o.profile)
			continue
		}
		report.Failures = append(report.Failures, bus.ProfileFailure{Digest: o.profile.Digest, GPUType: o.profile.GPUType, Reason: o.reason})
	}
	for _, u := range plan.left() {
		report.Failures = append(report.Failures, bus.ProfileFailure{
			Digest: u.model.Digest, GPUType: u.gpuType, Reason: "no GPU of this type is left that could hold it"})
	}
	return report
}

type outcome struct {
	profile protocol.Profile
	reason  string
}
