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

// Config says what stack there is to be.
type Config struct {
	// Binary is the clockwork binary, Data a directory of the broker's.
	Binary, Data string
	// Workers is how many there are, with GPUs of so many Pages each; 0 pages are
	// as many as a worker has by default.
	Workers, GPUs, Pages int
	// Model is loaded as so many Copies.
	Model  string
	Copies int
	// LoadIdle ends loading.
	LoadIdle time.Duration
	// ClockDrift is by how much the clocks of workers are fast: 0.01 gains 10 ms
	// each second.
	ClockDrift float64
	// GPUScale multiplies how long emulated GPUs take; 0 is as long as real ones.
	GPUScale float64
}

// Service is one process of the stack and its way to the broker.
type Service struct {
	Name    string
	Process *Process
	Proxy   *Proxy // nil for a broker, and for whoever has several

	kind   string
	binary string
	args   []string
}

func (s *Service) start() (err error) {
	s.Process, err = Start(s.binary, s.args...)
	return err
}

// Stack is a running stack: a broker, two controllers, a profiler, two
// schedulers and workers. Of each pair the first one leads, unless a fault has
// changed that.
type Stack struct {
	Config   Config
	URL      string // of the broker, without a proxy
	Services []*Service
	Client   *client.Client
	broker   string // its address; "" for a cluster
}

// startWait bounds each step of a start.
const startWait = 60 * time.Second

// Up starts a stack and returns once it serves Models. It is the caller's to
// close, also after an error.
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

// loadWait is how long an answer to a load is waited for before it is asked for
// again: who had it may be gone.
const loadWait = 5 * time.Second

// Load loads the model on all workers; asking twice loads it once.
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

// startServices starts who leads before who stands by.
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

// StartController starts a controller.
func (s *Stack) StartController(name string) error {
	return s.start(name, "controller", "--load-idle", s.Config.LoadIdle.String())
}

// StartScheduler starts a scheduler.
func (s *Stack) StartScheduler(name string) error { return s.start(name, "scheduler") }

// StartProfiler starts a profiler that measures little.
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

// connect connects the client to a broker that is starting.
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

// start starts a service by the arguments of clockwork, behind a proxy of its own
// unless there are several brokers.
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

// Service finds a service by its name; of several of a kind, the first.
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

// Await waits until the state of the stack is as wanted.
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

// AwaitStage waits for a stage, and in ACTIVE for a scheduler.
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

// FreeAddress is an address of the loopback on which nobody listens.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
