package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
)

// Config describes the stack to start.
type Config struct {
	// Binary is the path of the clockwork binary, Data the broker's directory.
	Binary, Data string
	// Workers is the number of workers, GPUs the number per worker, Pages the number
	// per GPU; 0 pages: the worker's default.
	Workers, GPUs, Pages int
	// Model is the path of the model to load, Copies the number of its copies.
	Model  string
	Copies int
	// LoadIdle is the controller's --load-idle.
	LoadIdle time.Duration
	// ClockDrift is the relative drift of the workers' clocks: at 0.01 they gain 10
	// ms per second.
	ClockDrift float64
	// GPUScale scales the durations of the emulated GPUs; 0: the durations of real
	// GPUs.
	GPUScale float64
}

// Service is one process of the stack with its connection to the broker.
type Service struct {
	Name    string
	Process *Process
	Proxy   *Proxy // nil for a broker and in a cluster

	kind   string
	binary string
	args   []string
}

func (s *Service) start() (err error) {
	s.Process, err = Start(s.binary, s.args...)
	return err
}

// Stack is a running stack: a broker, two controllers, a profiler, two
// schedulers and workers. Of each pair the first is active, unless a fault has
// changed that.
type Stack struct {
	Config   Config
	URL      string // of the broker, without a proxy
	Services []*Service
	Client   *client.Client
	broker   string // address; "" for a cluster
}

// startWait bounds each step of starting the stack.
const startWait = 60 * time.Second

// Up starts a stack and returns when the stage is ACTIVE. The caller must close
// the stack, even after an error.
func Up(ctx context.Context, c Config) (*Stack, error) {
	s := &Stack{Config: c}
	if err := s.StartBroker(ctx); err != nil {
		return s, err
	}
	if err := s.startServices(ctx); err != nil {
		return s, err
	}
	if err := s.Load(ctx); err != nil {
		return s, err
	}
	return s, s.AwaitStage(ctx, protocol.Active)
}

// loadWait bounds the wait for the answer to a load before the load is sent
// again: the controller that received it may have died.
const loadWait = 5 * time.Second

// Load loads the model on all workers; repeated calls load it once.
func (s *Stack) Load(ctx context.Context) error {
	c := s.Config
	for end := time.Now().Add(startWait); ; {
		attempt, cancel := context.WithTimeout(ctx, loadWait)
		reply, fault := s.Client.Load(attempt, protocol.LoadRequest{Path: c.Model, Copies: &c.Copies})
		cancel()
		switch {
		case fault == nil && len(reply.Models) != c.Copies:
			return fmt.Errorf("load %s: %d copies of %d", c.Model, len(reply.Models), c.Copies)
		case fault == nil:
			return nil
		case !fault.Retryable && fault.Code != protocol.DeadlineExceeded || time.Now().After(end) || ctx.Err() != nil:
			return fmt.Errorf("load %s: %w", c.Model, fault)
		}
		clock.Pause(ctx, 200*time.Millisecond)
	}
}

// startServices starts the active instances before the standbys.
func (s *Stack) startServices(ctx context.Context) error {
	err := errors.Join(s.StartController("controller-1"), s.StartScheduler("scheduler-1"), s.StartProfiler("profiler-1"))
	for i := range s.Config.Workers {
		err = errors.Join(err, s.StartWorker(fmt.Sprintf("worker-%d", i+1)))
	}
	if err != nil {
		return err
	}
	if err := s.Await(ctx, "all services", func(v *protocol.StackState) bool {
		return len(v.Workers) == s.Config.Workers && v.Scheduler == protocol.Standby
	}); err != nil {
		return err
	}
	return errors.Join(s.StartController("controller-2"), s.StartScheduler("scheduler-2"))
}

func (s *Stack) StartController(name string) error {
	return s.start(name, "controller", "--load-idle", s.Config.LoadIdle.String())
}

func (s *Stack) StartScheduler(name string) error { return s.start(name, "scheduler") }

// StartProfiler starts a profiler with few iterations.
func (s *Stack) StartProfiler(name string) error {
	return s.start(name, "profiler", "--profile-iterations", "3")
}

// StartWorker starts a worker with emulated GPUs.
func (s *Stack) StartWorker(name string) error {
	args := []string{"worker", "--name", name, "--gpus", strconv.Itoa(s.Config.GPUs), "--generate-inputs",
		"--clock-step", clockStep.String(), "--clock-drift", strconv.FormatFloat(s.Config.ClockDrift, 'f', -1, 64)}
	if s.Config.Pages > 0 {
		args = append(args, "--pages", strconv.Itoa(s.Config.Pages))
	}
	if s.Config.GPUScale > 0 {
		args = append(args, "--scale", strconv.FormatFloat(s.Config.GPUScale, 'f', -1, 64))
	}
	return s.start(name, args...)
}

// StartBroker starts the broker and connects to it.
func (s *Stack) StartBroker(ctx context.Context) error {
	address, err := FreeAddress()
	if err != nil {
		return err
	}
	s.broker, s.URL = address, "nats://"+address
	broker := &Service{Name: "nats", kind: "nats", binary: s.Config.Binary, args: []string{"nats", "--listen", address, "--data", s.Config.Data}}
	if err := broker.start(); err != nil {
		return err
	}
	s.Services = append(s.Services, broker)
	return s.connect(ctx, broker)
}

// connect connects the client to a broker that is still starting.
func (s *Stack) connect(ctx context.Context, broker *Service) (err error) {
	for end := time.Now().Add(startWait); ; {
		if s.Client, err = client.Connect(s.URL, ""); err == nil {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("reach the broker: %w; it said: %s", err, broker.Process.Log())
		}
		clock.Pause(ctx, 20*time.Millisecond)
	}
}

// start starts a service with these clockwork arguments. Except in a cluster,
// the service connects through a proxy of its own.
func (s *Stack) start(name string, args ...string) error {
	if s.broker == "" {
		service := &Service{Name: name, kind: args[0], binary: s.Config.Binary, args: append(args, "--nats", s.URL)}
		s.Services = append(s.Services, service)
		return service.start()
	}
	proxy, err := NewProxy(s.broker)
	if err != nil {
		return err
	}
	service := &Service{Name: name, Proxy: proxy, kind: args[0], binary: s.Config.Binary, args: append(args, "--nats", "nats://"+proxy.Address())}
	s.Services = append(s.Services, service)
	return service.start()
}

// Service returns a service by its name; "worker" means "worker-1".
func (s *Stack) Service(name string) (*Service, error) {
	var names []string
	for _, service := range s.Services {
		if service.Name == name || strings.TrimSuffix(service.Name, "-1") == name {
			return service, nil
		}
		names = append(names, service.Name)
	}
	return nil, fmt.Errorf("no service is called %q (%s)", name, strings.Join(names, ", "))
}

// Await waits until the stack's state is as wanted.
func (s *Stack) Await(ctx context.Context, what string, wanted func(*protocol.StackState) bool) error {
	var last *protocol.StackState
	for end := time.Now().Add(startWait); time.Now().Before(end) && ctx.Err() == nil; clock.Pause(ctx, 50*time.Millisecond) {
		asked, cancel := context.WithTimeout(ctx, 2*time.Second)
		state, fault := s.Client.State(asked)
		cancel()
		if fault != nil {
			continue
		}
		if last = state; wanted(state) {
			return nil
		}
	}
	return fmt.Errorf("await %s: in vain; the last state was %+v", what, last)
}

// AwaitStage waits for a stage, and in ACTIVE for an active scheduler.
func (s *Stack) AwaitStage(ctx context.Context, stage protocol.Stage) error {
	return s.Await(ctx, "stage "+stage.String(), func(v *protocol.StackState) bool {
		return v.Stage == stage && (stage != protocol.Active || v.Epoch > 0)
	})
}

// Close ends all processes.
func (s *Stack) Close() {
	if s.Client != nil {
		s.Client.Close()
	}
	for i := len(s.Services) - 1; i >= 0; i-- {
		service := s.Services[i]
		if service.Process != nil {
			service.Process.Kill()
		}
		if service.Proxy != nil {
			service.Proxy.Close()
		}
	}
}

// FreeAddress returns an unused loopback address.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
