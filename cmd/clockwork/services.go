package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"clockwork/pkg/bus"
	"clockwork/services/controller"
	"clockwork/services/profiler"
	"clockwork/services/scheduler"
	"clockwork/services/worker"
)

// startup flags are the controller's; up has them too.
type controllerFlags struct {
	LoadIdle      time.Duration `default:"10s" help:"Loading ends when no load was asked for or pending for this long."`
	BufferTimeout time.Duration `default:"10s" help:"How long requests that come before activation may wait."`
	LoadTimeout   time.Duration `default:"60s" help:"How long the workers may take for one load."`
	DefaultSLO    time.Duration `name:"default-slo" default:"100ms" help:"Latency target of requests that name none."`
	MaxBatch      int           `default:"16" help:"Largest batch size to load models with."`
}

func (f controllerFlags) config() controller.Config {
	c := controller.DefaultConfig()
	c.LoadIdle, c.BufferTimeout, c.LoadTimeout = f.LoadIdle, f.BufferTimeout, f.LoadTimeout
	c.DefaultSLO, c.MaxBatch = f.DefaultSLO, f.MaxBatch
	return c
}

type profilerFlags struct {
	Iterations int `name:"profile-iterations" default:"10" help:"How often each action is measured."`
}

func (f profilerFlags) config() profiler.Config {
	c := profiler.DefaultConfig()
	c.Iterations = f.Iterations
	return c
}

type schedulerFlags struct {
	Policy string `default:"simple" enum:"simple,echo" help:"Scheduling policy: simple, or echo, which answers at once and runs nothing."`
}

func (f schedulerFlags) config() scheduler.Config {
	c := scheduler.DefaultConfig()
	c.Policy = f.Policy
	return c
}

type controllerCommand struct{ controllerFlags }

// Run runs a controller until it is told to stop.
func (k *controllerCommand) Run(c *cli, con *console) error {
	return serve(con, c.broker(con), fx.Supply(k.config()), controller.Module)
}

type profilerCommand struct{ profilerFlags }

// Run runs a profiler until it is told to stop.
func (k *profilerCommand) Run(c *cli, con *console) error {
	return serve(con, c.broker(con), fx.Supply(k.config()), profiler.Module)
}

type schedulerCommand struct{ schedulerFlags }

// Run runs a scheduler until it is told to stop.
func (k *schedulerCommand) Run(c *cli, con *console) error {
	return serve(con, c.broker(con), fx.Supply(k.config()), scheduler.Module)
}

type workerCommand struct {
	Name string `help:"The worker's name, unique in the stack; by default the host's."`
	workerFlags
}

// Run runs a worker until it is told to stop.
func (k *workerCommand) Run(c *cli, con *console) error {
	name := k.Name
	if name == "" {
		name = hostName()
	}
	config, err := k.config(name)
	if err != nil {
		return err
	}
	return serve(con, c.broker(con), fx.Supply([]worker.Config{config}), worker.Module)
}

// broker is how the flags say that services reach the broker.
func (c *cli) broker(con *console) fx.Option {
	return fx.Supply(bus.Config{URL: c.NATS, Prefix: c.Prefix, Log: con.log})
}

// serve runs services until a signal, or until one fails.
func serve(con *console, options ...fx.Option) error {
	app := newApp(con, options...)
	if err := app.Err(); err != nil {
		return usageError{err.Error()}
	}
	start, cancel := context.WithTimeout(context.Background(), app.StartTimeout())
	defer cancel()
	if err := app.Start(start); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	signal := <-app.Wait()
	stop, cancel := context.WithTimeout(context.Background(), app.StopTimeout())
	defer cancel()
	if err := app.Stop(stop); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if signal.ExitCode != 0 {
		return fmt.Errorf("a service failed; the log says why")
	}
	return nil
}

func newApp(con *console, options ...fx.Option) *fx.App {
	return fx.New(
		fx.Supply(con.log),
		fx.WithLogger(func() fxevent.Logger { return fxevent.NopLogger }),
		fx.Options(options...),
	)
}

type brokerCommand struct {
	Listen string `default:"127.0.0.1:4222" help:"Address to listen on."`
	Data   string `default:"./data/nats" help:"Directory of the state and the startup buffer."`
	Config string `type:"existingfile" help:"A nats-server configuration to use instead."`
}

// Run runs a broker until it is told to stop.
func (k *brokerCommand) Run(con *console) error {
	config, err := serverConfig(k.Listen, k.Data)
	if err != nil {
		return err
	}
	config.ConfigFile = k.Config
	s, err := bus.StartServer(config)
	if err != nil {
		return err
	}
	con.log.Info("broker listens", "url", s.ClientURL(), "data", k.Data)
	ctx, cancel := interruptible()
	defer cancel()
	<-ctx.Done()
	bus.StopServer(s)
	return nil
}

func serverConfig(listen, data string) (bus.ServerConfig, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return bus.ServerConfig{}, usageError{fmt.Sprintf("--listen %s: %v", listen, err)}
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return bus.ServerConfig{}, usageError{fmt.Sprintf("--listen %s: %q is no port", listen, portText)}
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return bus.ServerConfig{Host: host, Port: port, DataDir: data}, nil
}

// embedded starts a broker that lives as long as the app.
func embedded(config bus.ServerConfig, log *slog.Logger, prefix string) fx.Option {
	return fx.Provide(func(lc fx.Lifecycle) (bus.Config, error) {
		s, err := bus.StartServer(config)
		if err != nil {
			return bus.Config{}, err
		}
		lc.Append(fx.StopHook(func() { bus.StopServer(s) }))
		return bus.Config{InProcess: s, Prefix: prefix, Log: log}, nil
	})
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "worker"
	}
	return name
}
