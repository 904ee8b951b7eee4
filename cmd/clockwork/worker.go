package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/fx"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/watch"
	"clockwork/services/worker"
)

type workerCommand struct {
	Name string `help:"The worker's name, unique in the stack; by default the host's."`
	serve.WorkerFlags
	clockFlags
	serve.RecordFlags
	serve.BrokerFlags
	serve.TelemetryFlags
}

// clockFlags are for a process that is only a worker, and thus owns the clock.
type clockFlags struct {
	ClockDrift float64       `default:"0" help:"Have the worker's clock gain this fraction, for tests." group:"Emulated GPUs"`
	ClockStep  time.Duration `placeholder:"D" from:"-1h" to:"1h" help:"Step the worker's clock ahead by this on SIGUSR1, and back on the next, for tests." group:"Emulated GPUs"`
}

// misbehave makes the clock faulty if a flag says so.
func (f clockFlags) misbehave(log *slog.Logger) error {
	fault := clock.Fault{Drift: f.ClockDrift, Step: f.ClockStep}
	if err := fault.Validate(); err != nil || fault == (clock.Fault{}) {
		return cli.Usage(err)
	}
	fault.Misbehave()
	if f.ClockStep == 0 {
		return nil
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() { // for the life of the process
		for ahead := true; ; ahead = !ahead {
			<-asked
			clock.Stepped(ahead)
			log.Warn("clock stepped by --clock-step", "ahead", ahead, "by", f.ClockStep)
		}
	}()
	return nil
}

// Run runs a worker until a signal stops it.
func (k *workerCommand) Run(c *cli.Flags, con *cli.Console) error {
	name := k.Name
	if name == "" {
		name = bus.HostName()
	}
	config, err := k.Config(name)
	if err != nil {
		return err
	}
	if err := k.misbehave(con.Log); err != nil {
		return err
	}
	broker, err := k.Reach(c, con)
	if err != nil {
		return err
	}
	return k.Heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return k.Recorded(func(to *recorder.Direct) error {
			serve.RecordWorker(&config, to)
			return serve.Run(con, k.Shutdown(hub, con.Log), broker, fx.Supply([]worker.Config{config}), worker.Module)
		})
	})
}
