// Package profiler measures how long models take: the weight transfer and each
// batch size, on each type of GPU, through the same worker actions that serve
// requests later. The controller says when; what is stored already under the
// same key is not measured again.
package profiler

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/fx"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/wire"
	"clockwork/services/host"
)

// Config is everything that can be set of a profiler.
type Config struct {
	// Iterations is how often each action is measured.
	Iterations int
	// ActionTimeout is how long one action may take before it counts as one
	// without a result.
	ActionTimeout time.Duration
	// Telemetry is lent what can be read of the profiler; nil is nobody.
	Telemetry *watch.Hub
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

// Service is a profiler. It works on one job at a time, and the stack has one
// at a time: others stand by.
type Service struct {
	config Config
	broker bus.Config
	id     uint64

	bus     *bus.Bus
	state   *bus.State
	actions *bus.Caller
	tries   tries

	mu      sync.Mutex
	working bool                     // it holds the lease and hears of jobs
	jobs    chan protocol.ProfileJob // the next job; the last one that came counts
	current uint64                   // id of the job at work, 0 for none
	abandon context.CancelFunc       // ends the job at work
	lost    map[string]uint64        // workers that fell silent, and their incarnation
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
		jobs:   make(chan protocol.ProfileJob, 1),
		lost:   map[string]uint64{},
		tries:  tries{count: map[string]int{}},
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
	s.actions = b.NewCaller(s.id, s.config.ActionTimeout)
	host, _ := os.Hostname() // for people only
	name := protocol.DoorName(s.id)
	pulse := b.StartPulse(protocol.Profiler, name, s.heartbeat)
	defer pulse.Stop()
	defer s.config.Telemetry.Lend(watch.Source{Service: protocol.Profiler, Name: name, Ready: b.Unreachable, Bus: b.Reading})()
	for ctx.Err() == nil {
		lease, err := b.Campaign(ctx, "profiler", bus.Candidate{Kind: protocol.Profiler, ID: name, Host: host})
		if err != nil {
			return nil // ctx ended while another works
		}
		err = s.serve(ctx, lease, pulse)
		lease.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// serve works on the jobs that come until ctx ends or the lease is lost.
func (s *Service) serve(ctx context.Context, lease *bus.Lease, pulse *bus.Pulse) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers, err := s.bus.WatchHeartbeats(protocol.Worker, s.workerBeat, s.workerLost)
	if err != nil {
		return err
	}
	defer workers.Stop()
	jobs := wire.NewParcels(wire.Job)
	sub, err := s.bus.Subscribe(s.bus.Payload, s.bus.Subjects.ProfilerStart(), func(m *nats.Msg) { s.onStart(jobs, m) })
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // it ends with the connection at the latest
	if err := s.bus.Payload.Flush(); err != nil {
		return nil // the broker is gone; campaign again
	}
	s.setWorking(true) // from here on a job that is given to it arrives
	defer s.setWorking(false)
	pulse.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lease.Lost():
			s.bus.Log.Warn("another profiler holds the lease now")
			return nil
		case job := <-s.jobs:
			for _, w := range job.Workers {
				workers.Expect(protocol.Heartbeat{Service: protocol.Worker, ID: w.ID, Incarnation: w.Incarnation})
			}
			s.work(ctx, lease, job, pulse)
		}
	}
}

func (s *Service) workerBeat(h protocol.Heartbeat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost[h.ID] == h.Incarnation { // that of another life changes nothing for this one
		delete(s.lost, h.ID)
	}
}

func (s *Service) workerLost(h protocol.Heartbeat) {
	s.mu.Lock()
	s.lost[h.ID] = h.Incarnation
	s.mu.Unlock()
	s.actions.Lose(h.ID)
}

// silent reports whether a GPU's worker fell silent.
func (s *Service) silent(g gpu) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	incarnation, lost := s.lost[g.worker]
	return lost && incarnation == g.incarnation
}

// work does one job, unless another one or the end of the lease makes it void.
func (s *Service) work(ctx context.Context, lease *bus.Lease, job protocol.ProfileJob, pulse *bus.Pulse) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.current, s.abandon = job.ID, cancel
	s.mu.Unlock()
	pulse.Now()
	report := make(chan *protocol.ProfileReport, 1)
	go func() { report <- s.profile(ctx, job) }()
	select {
	case r := <-report:
		if ctx.Err() == nil && r != nil {
			s.report(r)
		}
	case <-lease.Lost():
		cancel()
		<-report
	}
	s.mu.Lock()
	s.current, s.abandon = 0, nil
	s.mu.Unlock()
}

// heartbeat says which job is at work; the controller sends a lost one again. It
// gives none to a profiler that stands by.
func (s *Service) heartbeat() protocol.Heartbeat {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := protocol.Heartbeat{Incarnation: s.id, State: "idle"}
	switch {
	case s.current != 0:
		h.State = strconv.FormatUint(s.current, 10)
		h.InFlight = 1
	case !s.working:
		h.State = protocol.Standby
	}
	return h
}

func (s *Service) setWorking(working bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working = working
}

// onStart takes a job. Another than the one at work replaces it: what that
// measured is stored.
func (s *Service) onStart(jobs *wire.Parcels[protocol.ProfileJob], m *nats.Msg) {
	job, whole, fault := jobs.Add(m.Data)
	if fault != nil {
		s.bus.Log.Warn("bad profile job", "error", fault)
	}
	if !whole || job.ID == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == job.ID {
		return // it was sent again while we work on it
	}
	select {
	case <-s.jobs: // of two that wait, the later counts
	default:
	}
	s.jobs <- job // the only sender just made room
	if s.abandon != nil {
		s.abandon()
	}
}

func (s *Service) report(r *protocol.ProfileReport) {
	if err := s.bus.SendParcel(s.bus.Control, s.bus.Subjects.ProfilerReport(), wire.Report.Encode(r)); err != nil {
		s.bus.Log.Error("profile report not sent", "error", err) // we go idle; the job comes again
	}
}

// profile measures what is missing and returns all profiles of the job. It
// returns nil when GPUs were lost that the rest needs: that says nothing
// against the models, and the controller gives the job again.
func (s *Service) profile(ctx context.Context, job protocol.ProfileJob) *protocol.ProfileReport {
	plan := s.plan(ctx, job)
	s.bus.Log.Info("profiling", "job", job.ID, "models", len(job.Models), "units", len(plan.units), "stored", len(plan.stored))
	p := &progress{bus: s.bus, total: plan.steps}
	results := make(chan outcome, len(plan.units))
	// A unit of a GPU that was lost may come back when the others are through.
	for gpus := plan.gpus; len(gpus) > 0 && plan.fits(gpus) && ctx.Err() == nil; {
		gpus = s.round(ctx, gpus, plan, p, results)
	}
	close(results)
	if plan.lacksGPUs() {
		s.bus.Log.Warn("job not finished: GPUs were lost", "job", job.ID, "units", len(plan.left()))
		return nil
	}
	report := &protocol.ProfileReport{ID: job.ID, Profiles: plan.stored}
	for _, u := range plan.givenUp {
		s.tries.forget(u)
		report.Failures = append(report.Failures, protocol.ProfileFailure{Digest: u.model.Digest, GPUType: u.gpuType,
			Reason: fmt.Sprintf("%d GPUs in a row were lost or gave no result while they measured it", maxTries+1)})
	}
	for o := range results {
		s.tries.forget(unit{model: protocol.ModelSpec{Digest: o.profile.Digest}, gpuType: o.profile.GPUType})
		if o.reason == "" {
			report.Profiles = append(report.Profiles, o.profile)
			continue
		}
		report.Failures = append(report.Failures, protocol.ProfileFailure{Digest: o.profile.Digest, GPUType: o.profile.GPUType, Reason: o.reason})
	}
	for _, u := range plan.left() {
		report.Failures = append(report.Failures, protocol.ProfileFailure{
			Digest: u.model.Digest, GPUType: u.gpuType, Reason: plan.verdict(u)})
	}
	return report
}

// round lets every GPU measure until nothing is left for it, and returns the
// GPUs that answered to the end.
func (s *Service) round(ctx context.Context, gpus []gpu, plan *plan, p *progress, results chan<- outcome) []gpu {
	var lanes sync.WaitGroup
	fates := make([]fate, len(gpus))
	for i, g := range gpus {
		lanes.Go(func() { fates[i] = s.lane(ctx, g, plan, p, results) })
	}
	lanes.Wait()
	var alive []gpu
	for i, g := range gpus {
		switch fates[i] {
		case through:
			alive = append(alive, g)
		case hung:
			plan.hung[g] = true
		}
	}
	return alive
}

// outcome is how a unit ended; reason is empty when it was measured.
type outcome struct {
	profile protocol.Profile
	reason  string
}
