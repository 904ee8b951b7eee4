package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/journal"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/watch"
	"clockwork/services/controller"
	"clockwork/services/frontdoor"
	"clockwork/services/profiler"
	"clockwork/services/scheduler"
)

// frontDoorFlags are a front door's; controller and up have them too.
type frontDoorFlags struct {
	BufferTimeout time.Duration `default:"10s" help:"How long requests that come before activation may wait." group:"Front door"`
	DefaultSLO    time.Duration `name:"default-slo" default:"100ms" help:"Latency target of requests that name none." group:"Front door"`
	Limits        string        `placeholder:"FILE" help:"YAML file of what clients and models may have of a front door: requests and bytes in flight, and a rate." group:"Front door"`
}

func (f frontDoorFlags) config() (frontdoor.Config, error) {
	c := frontdoor.DefaultConfig()
	c.BufferTimeout, c.DefaultSLO = f.BufferTimeout, f.DefaultSLO
	var err error
	if c.Limits, err = readLimits(f.Limits, c.Limits); err != nil {
		return c, err
	}
	return c, usage(c.Validate())
}

// controllerFlags are the controller's; up has them too.
type controllerFlags struct {
	frontDoorFlags
	LoadIdle    time.Duration `default:"10s" help:"Loading ends when no load was asked for or pending for this long." group:"Controller"`
	LoadTimeout time.Duration `default:"60s" help:"How long the workers may take for one load." group:"Controller"`
	MaxBatch    int           `default:"16" help:"Largest batch size to load models with, 0 for no bound." group:"Controller"`
}

func (f controllerFlags) config() (controller.Config, error) {
	c := controller.DefaultConfig()
	var err error
	if c.Config, err = f.frontDoorFlags.config(); err != nil {
		return c, err
	}
	c.LoadIdle, c.LoadTimeout, c.MaxBatch = f.LoadIdle, f.LoadTimeout, f.MaxBatch
	return c, usage(c.Validate())
}

type profilerFlags struct {
	Iterations int `name:"profile-iterations" default:"10" help:"How often each action is measured." group:"Profiler"`
}

func (f profilerFlags) config() (profiler.Config, error) {
	c := profiler.DefaultConfig()
	c.Iterations = f.Iterations
	return c, usage(c.Validate())
}

type schedulerFlags struct {
	Policy string `default:"clockwork" enum:"clockwork,faithful,deferred,aimd,fifo,simple,echo" help:"Scheduling policy. The others are for comparison: faithful to the original, deferred (batches wait), aimd (adaptive batches), fifo and simple (no batches), echo (answers at once, runs nothing)." group:"Scheduler"`
	Record string `placeholder:"FILE" help:"Record what the scheduler is given into FILE, for clockwork replay and clockwork explain." group:"Scheduler"`
}

// module is the scheduler as the flags want it, recorded if they say so.
func (f schedulerFlags) module(hub *watch.Hub, log *slog.Logger) (fx.Option, error) {
	c := scheduler.DefaultConfig()
	c.Policy, c.Telemetry = f.Policy, hub
	if f.Record == "" {
		return fx.Options(fx.Supply(c), scheduler.Module), nil
	}
	to, err := recorder.Open(f.Record, log)
	if err != nil {
		return nil, err
	}
	c.Observers = []sched.Observer{to}
	closing := fx.Invoke(func(lc fx.Lifecycle) { // before the scheduler's, so that it ends after that
		lc.Append(fx.StopHook(to.Close))
	})
	return fx.Options(closing, fx.Supply(c), scheduler.Module), nil
}

// brokerFlags are of services with a broker of somebody else's.
type brokerFlags struct {
	Replicas int `default:"0" help:"How many of the broker's servers keep the state; 0 is three where it is a cluster, else one." group:"Broker"`
}

// reach is how the flags say that services reach the broker.
func (f brokerFlags) reach(c *cli, con *console) (fx.Option, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	config, err := c.busConfig(con, f.Replicas)
	if err != nil {
		return nil, err
	}
	return fx.Supply(config), nil
}

func (f brokerFlags) check() error {
	if f.Replicas < 0 || f.Replicas > maxReplicas {
		return usageError{fmt.Sprintf("--replicas is %d; it must be from 0 to %d", f.Replicas, maxReplicas)}
	}
	return nil
}

// maxReplicas is JetStream's own limit.
const maxReplicas = 5

type frontDoorCommand struct {
	frontDoorFlags
	brokerFlags
	telemetryFlags
	requestLogFlags
	rotateFlags
}

// Run runs a front door until it is told to stop.
func (k *frontDoorCommand) Run(c *cli, con *console) error {
	config, err := k.frontDoorFlags.config()
	if err != nil {
		return err
	}
	broker, err := k.reach(c, con)
	if err != nil {
		return err
	}
	return k.heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return serve(con, broker, fx.Supply(config), frontdoor.Module)
	}, k.requestLog(k.rotateFlags))
}

type controllerCommand struct {
	controllerFlags
	FrontDoor bool `default:"true" negatable:"" help:"Take requests from clients too; without, clockwork frontdoor takes them." group:"Controller"`
	journalFlags
	brokerFlags
	telemetryFlags
	requestLogFlags
	rotateFlags
}

// Run runs a controller until it is told to stop.
func (k *controllerCommand) Run(c *cli, con *console) error {
	config, err := k.config()
	if err != nil {
		return err
	}
	config.NoClients = !k.FrontDoor
	broker, err := k.reach(c, con)
	if err != nil {
		return err
	}
	return k.heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return k.journaled(func(to *journal.Writer) error {
			if to != nil {
				config.Observers = append(config.Observers, to.Startup())
			}
			return serve(con, broker, fx.Supply(config), controller.Module)
		})
	}, k.requestLog(k.rotateFlags))
}

type profilerCommand struct {
	profilerFlags
	journalFlags
	brokerFlags
	telemetryFlags
}

// Run runs a profiler until it is told to stop.
func (k *profilerCommand) Run(c *cli, con *console) error {
	config, err := k.config()
	if err != nil {
		return err
	}
	broker, err := k.reach(c, con)
	if err != nil {
		return err
	}
	return k.heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return k.journaled(func(to *journal.Writer) error {
			if to != nil {
				config.Observers = append(config.Observers, to.Measure())
			}
			return serve(con, broker, fx.Supply(config), profiler.Module)
		})
	})
}

type schedulerCommand struct {
	schedulerFlags
	brokerFlags
	telemetryFlags
	actionLogFlags
	rotateFlags
}

// Run runs a scheduler until it is told to stop.
func (k *schedulerCommand) Run(c *cli, con *console) error {
	broker, err := k.reach(c, con)
	if err != nil {
		return err
	}
	return k.heard(con, func(hub *watch.Hub) error {
		plan, err := k.module(hub, con.log)
		if err != nil {
			return err
		}
		return serve(con, broker, plan)
	}, k.actionLog(k.rotateFlags))
}

// serve runs services until a signal, or until one fails.
func serve(con *console, options ...fx.Option) error {
	a, err := startApp(con.log, options...)
	if err != nil {
		return err
	}
	failed := a.wait()
	if err := a.stop(); err != nil {
		return err
	}
	return failed
}

// app is running services.
type app struct {
	*fx.App
	*failureLog
}

func startApp(log *slog.Logger, options ...fx.Option) (*app, error) {
	tuneCollector()
	failures := newFailureLog(log)
	a := &app{fx.New(
		fx.Supply(slog.New(failures)),
		fx.WithLogger(func() fxevent.Logger { return fxevent.NopLogger }),
		fx.Options(options...),
	), failures}
	if err := a.Err(); err != nil {
		return nil, fmt.Errorf("wire services: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.StartTimeout())
	defer cancel()
	if err := a.Start(ctx); err != nil {
		return nil, fmt.Errorf("start services: %w", err)
	}
	return a, nil
}

// wait waits for a signal, or for a service that fails. A terminal that is
// closed is a signal too, so that what a process made up does not stay behind.
func (a *app) wait() error {
	hangup := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
	}
	select {
	case <-hangup:
		return nil
	case came := <-a.Wait():
		if came.ExitCode != 0 {
			return a.failure()
		}
		return nil
	}
}

func (a *app) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.StopTimeout())
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		return fmt.Errorf("stop services: %w", err)
	}
	return nil
}

// tuneCollector trades memory for latency: payloads are short-lived and large,
// and at Go's default every few of them start a collection. GOGC wins.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
