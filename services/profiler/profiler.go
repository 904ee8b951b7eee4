package profiler

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/wire"
	"clockwork/services/host"
)

// Config is the configuration of a profiler.
type Config struct {
	// Iterations is the number of measurements per action.
	Iterations int
	// ActionTimeout is how long the profiler waits for the result of an action.
	ActionTimeout time.Duration
	// Observers receive the core's events and outputs, under the service's lock;
	// none by default.
	Observers measure.Observers
	// Telemetry is the hub that the profiler registers its gauges with; nil for
	// none.
	Telemetry *watch.Hub
}

func DefaultConfig() Config {
	d := measure.DefaultConfig()
	return Config{Iterations: d.Iterations, ActionTimeout: d.ActionTimeout}
}

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error { return c.core(1).Validate() }

// core returns the configuration of the core for a profiler with this identity.
func (c Config) core(id uint64) measure.Config {
	return measure.Config{Issuer: id, Iterations: c.Iterations, ActionTimeout: c.ActionTimeout}
}

// Module is the fx module of a profiler.
var Module = host.Module[*Service]("profiler", New)

// Service is a profiler. It works on one job at a time. A stack has one active
// profiler; others are standbys.
type Service struct {
	config Config
	broker bus.Config
	id     uint64

	bus        *bus.Bus
	profiles   *bus.State
	heartbeats *bus.Heartbeater
	over       chan struct{} // the term must end

	// mu is held during each Step and the execution of its output, so that messages
	// are sent in the machine's order.
	mu      sync.Mutex
	machine *measure.Machine
	working bool // it holds the lease and receives jobs
	// term ends with the lease, and writer writes for it. results is subscribed only during a job, because
	// results are many. timer fires at the machine's Wake.
	term    context.Context
	writer  *bus.Writer
	results *nats.Subscription
	decoder *bus.Results
	timer   *time.Timer
	// beside are the outstanding reads and writes of the store.
	beside sync.WaitGroup
}

// New makes a profiler; Run starts it.
func New(config Config, broker bus.Config) (*Service, error) {
	s := &Service{config: config, broker: broker, id: bus.RandomID(), over: make(chan struct{}, 1)}
	s.broker.Name = "profiler"
	s.broker.Identity.Role = "profiler"
	var err error
	if s.machine, err = measure.New(config.core(s.id)); err != nil {
		return nil, fmt.Errorf("configure profiler: %w", err)
	}
	config.Observers.Begin(config.core(s.id))
	return s, nil
}

// Run serves until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	name := protocol.DoorName(s.id)
	started := s.config.Telemetry.Starting(protocol.Profiler, name)
	defer started()
	b, err := bus.Open(ctx, s.broker)
	if err != nil {
		return err
	}
	defer b.Close()
	s.bus, s.decoder = b, b.NewResults(s.id)
	if s.profiles, err = b.OpenProfiles(ctx); err != nil {
		return err
	}
	host, _ := os.Hostname() // for display only
	s.heartbeats = b.StartHeartbeats(protocol.Profiler, name, s.heartbeat)
	defer s.heartbeats.Stop()
	started()
	defer s.config.Telemetry.Register(watch.Source{Service: protocol.Profiler, Name: name, Ready: b.Unready, Bus: b.Gauges})()
	for ctx.Err() == nil {
		lease, err := b.Campaign(ctx, "profiler", bus.Candidate{Kind: protocol.Profiler, ID: name, Host: host})
		if err != nil {
			return nil // ctx ended while another profiler was active
		}
		err = s.serve(ctx, lease)
		lease.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// serve works on jobs until ctx ends or the lease is lost.
func (s *Service) serve(ctx context.Context, lease *bus.Lease) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	writer, err := s.lead(ctx, lease)
	if err != nil {
		s.bus.Log.Warn("state not reached; campaigning again", "error", err)
		clock.Pause(ctx, leadPause)
		return nil
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	s.mu.Lock()
	s.term, s.writer, s.timer = ctx, writer, timer
	s.do(measure.Elected{Term: writer.Term()})
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		cancel()
		s.do(measure.Abandon{})
		s.mu.Unlock()
		s.beside.Wait()
	}()
	seen := map[string]uint64{} // the machine receives only new incarnations
	workers, err := s.bus.WatchHeartbeats(protocol.Worker, func(h protocol.Heartbeat) {
		if seen[h.ID] != h.Incarnation {
			seen[h.ID] = h.Incarnation
			s.step(measure.WorkerSeen{ID: h.ID, Incarnation: h.Incarnation})
		}
	}, func(h protocol.Heartbeat) {
		delete(seen, h.ID)
		s.step(measure.WorkerLost{ID: h.ID, Incarnation: h.Incarnation})
	})
	if err != nil {
		return err
	}
	defer workers.Stop()
	jobs := wire.NewChunks(wire.Job)
	sub, err := s.bus.Subscribe(s.bus.Payload, s.bus.Subjects.ProfilerStart(), func(m *nats.Msg) { s.onStart(jobs, workers, m) })
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // the subscription ends with the connection at the latest
	if err := s.bus.Payload.Flush(); err != nil {
		return nil // the broker is unreachable; campaign again
	}
	s.setWorking(true) // from here on jobs arrive
	defer s.setWorking(false)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-lease.Lost():
			s.bus.Log.Warn("another profiler holds the lease now")
			return nil
		case <-s.over:
			s.bus.Log.Warn("giving up the lease: another profiler has held it")
			return nil
		case <-timer.C:
			s.step(measure.Tick{})
		}
	}
}

// leadWait bounds how long a profiler with the lease waits for the store; leadPause is the
// pause before it campaigns again.
const (
	leadWait  = 10 * time.Second
	leadPause = 500 * time.Millisecond
)

// lead takes over the profiles in the store: from then on only this profiler writes them.
func (s *Service) lead(ctx context.Context, lease *bus.Lease) (*bus.Writer, error) {
	ctx, cancel := context.WithTimeout(ctx, leadWait)
	defer cancel()
	select {
	case <-s.over: // of an earlier term
	default:
	}
	return s.profiles.Lead(ctx, protocol.Profiler, lease)
}

// onStart takes a job. A named worker whose heartbeat never arrives counts as
// lost.
func (s *Service) onStart(jobs *wire.Chunks[protocol.ProfileJob], workers *bus.Liveness, m *nats.Msg) {
	job, whole, fault := jobs.Add(m.Data)
	if fault != nil {
		s.bus.BadMessage("bad profile job", m.Subject, fault)
	}
	if !whole || !s.bus.Credible(m, job.Term) {
		return
	}
	for _, w := range job.Workers {
		workers.Expect(protocol.Heartbeat{Service: protocol.Worker, ID: w.ID, Incarnation: w.Incarnation})
	}
	s.step(measure.JobGiven{Job: job})
}

func (s *Service) onResult(m *nats.Msg) {
	results, fault := s.decoder.Read(m)
	if fault != nil {
		s.bus.BadMessage("bad result", m.Subject, fault)
	}
	for _, r := range results {
		s.step(measure.ActionResult{Result: r})
	}
}

func (s *Service) heartbeat() protocol.Heartbeat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machine.Heartbeat(s.working)
}

func (s *Service) setWorking(working bool) {
	s.mu.Lock()
	s.working = working
	s.mu.Unlock()
	s.heartbeats.Now()
}
