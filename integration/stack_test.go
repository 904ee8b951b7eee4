package integration

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/backend/emulated"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/services/controller"
	"clockwork/services/frontdoor"
	"clockwork/services/profiler"
	"clockwork/services/scheduler"
	"clockwork/services/worker"
)

// stack is all services in this process, on a broker with a socket.
type stack struct {
	t      *testing.T
	config stackConfig
	broker *server.Server
	client *client.Client
	log    *slog.Logger
	// through is the proxy of the services that are started next, nil for none.
	through *chaos.Proxy

	mu     sync.Mutex
	events []protocol.Event
	news   chan struct{} // an event arrived
}

// stackConfig is the configuration of a test's stack; quick gives short times.
type stackConfig struct {
	controller controller.Config
	profiler   profiler.Config
	scheduler  scheduler.Config
	workers    int
	gpus       int
	pages      int
	generate   bool
	scale      float64
	faults     emulated.Faults
	hub        *watch.Hub // of the workers, nil for none
}

func quick() stackConfig {
	c := stackConfig{
		controller: controller.DefaultConfig(),
		profiler:   profiler.DefaultConfig(),
		scheduler:  scheduler.DefaultConfig(),
		workers:    1, gpus: 1, pages: 64, generate: true, scale: 0.1,
	}
	c.controller.LoadIdle = 500 * time.Millisecond
	c.profiler.Iterations = 3
	return c
}

// service runs until its context ends.
type service interface {
	Run(ctx context.Context) error
}

// startStack starts a broker and all services, without waiting for them.
func startStack(t *testing.T, config stackConfig) *stack {
	s := startBroker(t, config)
	s.startController()
	s.startProfiler()
	s.startScheduler()
	for i := range config.workers {
		s.startWorker(workerName(i))
	}
	return s
}

func workerName(i int) string { return "w" + string(rune('1'+i)) }

// startBroker starts only the broker, and a client that records all events.
func startBroker(t *testing.T, config stackConfig) *stack {
	t.Helper()
	s := withBroker(t, config, bus.ServerConfig{Host: "127.0.0.1", Port: -1, DataDir: t.TempDir(), Prefix: protocol.DefaultPrefix})
	stop, err := s.client.Events(s.record)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	if err := s.client.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

// withBroker returns a stack of a broker and a client.
func withBroker(t *testing.T, config stackConfig, of bus.ServerConfig) *stack {
	t.Helper()
	broker, err := bus.StartServer(of)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.StopServer(broker) })
	s := newStack(t, config, broker)
	if s.client, err = client.Connect(broker.ClientURL(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

// newStack returns a stack without a client.
func newStack(t *testing.T, config stackConfig, broker *server.Server) *stack {
	s := &stack{t: t, config: config, broker: broker, news: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler)}
	if os.Getenv("CLOCKWORK_TEST_LOG") != "" {
		s.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return s
}

// bus is how a service connects: directly, or through the proxy that is set.
func (s *stack) bus() bus.Config {
	if s.through != nil {
		return bus.Config{URL: "nats://" + s.through.Address(), Prefix: protocol.DefaultPrefix, Log: s.log}
	}
	return bus.Config{URL: s.broker.ClientURL(), Prefix: protocol.DefaultPrefix, Log: s.log}
}

// run starts a service and returns a function that stops it and waits for its
// end.
func (s *stack) run(name string, service service, err error) (stop func()) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := service.Run(ctx); err != nil && ctx.Err() == nil {
			s.t.Errorf("%s failed: %v", name, err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	s.t.Cleanup(stop)
	return stop
}

func (s *stack) startController() (stop func()) {
	service, err := controller.New(s.config.controller, s.bus())
	return s.run("controller", service, err)
}

func (s *stack) startFrontDoor() (stop func()) {
	config := s.config.controller.Config
	config.NoClients = false
	service, err := frontdoor.NewService(config, s.bus())
	return s.run("front door", service, err)
}

// proxied starts a service through a proxy of its own.
func (s *stack) proxied(start func() (stop func())) (*chaos.Proxy, func()) {
	s.t.Helper()
	p, err := chaos.NewProxy(s.broker.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Close)
	s.through = p
	defer func() { s.through = nil }()
	return p, start()
}

func (s *stack) startProfiler() (stop func()) {
	service, err := profiler.New(s.config.profiler, s.bus())
	return s.run("profiler", service, err)
}

func (s *stack) startScheduler() (stop func()) {
	service, err := scheduler.New(s.config.scheduler, s.bus())
	return s.run("scheduler", service, err)
}

func (s *stack) startWorker(name string) (stop func()) {
	service, err := worker.New(s.workerConfig(name), s.bus())
	return s.run("worker "+name, service, err)
}

func (s *stack) workerConfig(name string) worker.Config {
	config := worker.DefaultConfig(name, func([]string) (backend.Backend, error) {
		options := emulated.Defaults(name)
		options.GPUs, options.Pages, options.Scale, options.Faults = s.config.gpus, s.config.pages, s.config.scale, s.config.faults
		return emulated.New(options)
	})
	config.GenerateInputs = s.config.generate
	config.Telemetry = s.config.hub
	return config
}

// patience bounds every wait of a test; only a failed test waits that long.
const patience = 30 * time.Second

func (s *stack) record(e protocol.Event) {
	s.mu.Lock()
	s.events = append(s.events, e)
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// seen returns the matching events so far.
func (s *stack) seen(match func(protocol.Event) bool) []protocol.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []protocol.Event
	for _, e := range s.events {
		if match(e) {
			found = append(found, e)
		}
	}
	return found
}

// await returns the first matching event, including earlier ones.
func (s *stack) await(what string, match func(protocol.Event) bool) protocol.Event {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		if found := s.seen(match); len(found) > 0 {
			return found[0]
		}
		select {
		case <-s.news:
		case <-deadline:
			s.t.Fatalf("no %s within %v; events: %v", what, patience, s.seen(func(protocol.Event) bool { return true }))
		}
	}
}

func (s *stack) awaitStage(stage protocol.Stage) {
	s.t.Helper()
	s.await("stage "+stage.String(), func(e protocol.Event) bool {
		return e.Kind == protocol.EventStage && e.Stage == stage.String()
	})
}

// awaitState polls the stack's state until it matches.
func (s *stack) awaitState(what string, match func(*protocol.StackState) bool) *protocol.StackState {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		state, refusal := s.client.State(s.t.Context())
		if refusal == nil && match(state) {
			return state
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within %v; state %+v, error %v", what, patience, state, refusal)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// activated waits until there is an active scheduler.
func (s *stack) activated() *protocol.StackState {
	s.t.Helper()
	return s.awaitState("an active scheduler", func(st *protocol.StackState) bool {
		return st.Stage == protocol.Active && st.Epoch != 0
	})
}

// load loads a model; the test fails if the load does.
func (s *stack) load(path string, copies int) *protocol.LoadReply {
	s.t.Helper()
	// Retry: the controller may be up before the workers, and the broker may have
	// delivered the load to a killed controller whose end it had not noticed.
	for deadline := time.Now().Add(patience); ; {
		reply, refusal := s.tryLoad(path, copies)
		if refusal == nil {
			return reply
		}
		again := refusal.Code == protocol.StateUnavailable || refusal.Code == protocol.DeadlineExceeded
		if !again || time.Now().After(deadline) {
			s.t.Fatalf("load %s: %v", path, refusal)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *stack) tryLoad(path string, copies int) (*protocol.LoadReply, *protocol.Error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience/2)
	defer cancel()
	return s.client.Load(ctx, protocol.LoadRequest{Path: path, Copies: &copies})
}

// infer sends a request without inputs.
func (s *stack) infer(model string, slo, wait time.Duration) (*protocol.InferResponse, *protocol.Error) {
	ms := float64(slo) / float64(time.Millisecond)
	return s.client.Infer(s.t.Context(), model, &protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &ms}}, wait)
}

// plain returns a plain NATS connection.
func (s *stack) plain() *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect(s.broker.ClientURL())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}
