package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"go.uber.org/fx"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/local"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/journal"
	"clockwork/pkg/watch"
	"clockwork/services/controller"
	"clockwork/services/host"
	"clockwork/services/profiler"
	"clockwork/services/worker"
)

// StackFlags are the services' own flags.
type StackFlags struct {
	Workers int `default:"1" help:"How many workers to run, at most 64." group:"Worker"`
	WorkerFlags
	ControllerFlags
	ProfilerFlags
	SchedulerFlags
}

// maxWorkers is how many workers one process may run; more workers need more hosts.
const maxWorkers = 64

// Parts returns all services as the flags describe them; they report to the hub, and
// all but the scheduler are recorded in the journal. Both may be nil.
func (f *StackFlags) Parts(hub *watch.Hub, to *journal.Writer, log *slog.Logger) (fx.Option, error) {
	if f.Workers < 1 || f.Workers > maxWorkers {
		return nil, cli.Usagef("--workers is %d; it must be from 1 to %d", f.Workers, maxWorkers)
	}
	control, err := f.ControllerFlags.Config()
	if err != nil {
		return nil, err
	}
	measure, err := f.ProfilerFlags.Config()
	if err != nil {
		return nil, err
	}
	control.Telemetry, measure.Telemetry = hub, hub
	RecordController(&control, to)
	RecordProfiler(&measure, to)
	var workers []worker.Config
	for i := range f.Workers {
		config, err := f.WorkerFlags.Config(workerName(bus.HostName(), i, f.Workers))
		if err != nil {
			return nil, err
		}
		config.Telemetry = hub
		RecordWorker(&config, to)
		workers = append(workers, config)
	}
	plan, err := f.SchedulerFlags.Module(hub, log)
	if err != nil {
		return nil, err
	}
	return fx.Options(
		fx.Supply(control, measure, workers),
		controller.Module, profiler.Module, plan, worker.Module,
	), nil
}

// workerName returns the name of the i-th of n workers of a host.
func workerName(host string, i, n int) string {
	if n == 1 {
		return host
	}
	suffix := fmt.Sprintf("-%d", i+1)
	return host[:min(len(host), 64-len(suffix))] + suffix
}

// Stack is all of Clockwork in this process, around a broker of its own.
type Stack struct {
	*cli.Progress
	screen *cli.Screen
	Client *client.Client
	App    *App

	Broker *Broker
	// Scratch is a temporary directory that Close removes, "" for none.
	Scratch string
}

// OpenStack starts the broker and subscribes to events, but starts no service yet, so
// that no event is missed. data is the state's directory, "" for a temporary one; flag
// allows other machines to connect.
func OpenStack(c *cli.Flags, con *cli.Console, listen, data string, flag OpenFlag) (*Stack, error) {
	s := &Stack{}
	err := s.open(c, con, listen, data, flag)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stack) open(c *cli.Flags, con *cli.Console, listen, data string, flag OpenFlag) (err error) {
	if data == "" {
		if s.Scratch, err = os.MkdirTemp("", "clockwork-"); err != nil {
			return fmt.Errorf("make temporary directory: %w", err)
		}
		data = filepath.Join(s.Scratch, "nats")
	}
	if s.Broker, err = StartBroker(con, c.Prefix, listen, data, flag); err != nil {
		return err
	}
	if s.Client, err = client.Connect("", c.Prefix, nats.InProcessServer(s.Broker.Server)); err != nil {
		return err
	}
	s.Progress, s.screen = cli.StartProgress(con), con.Screen
	s.screen.Bars.Store(s.Progress)
	_, err = s.Client.Events(s.Progress.Event) // until the client is closed
	return err
}

// Start runs the services.
func (s *Stack) Start(c *cli.Flags, con *cli.Console, parts fx.Option) (err error) {
	reach := bus.Config{InProcess: s.Broker.Server, Local: local.New(), Prefix: c.Prefix, Log: con.Log}
	s.App, err = startApp(con.Log, fx.Supply(reach), parts, fx.Invoke(
		func(lifecycle fx.Lifecycle, shutdown fx.Shutdowner, log *slog.Logger) error {
			keeper, err := s.Broker.Keeper(log)
			if err == nil {
				host.Attach("broker", keeper, lifecycle, shutdown, log)
			}
			return err
		}))
	return err
}

// UntilFailure returns a context that ends with ctx, or when a service fails.
func (s *Stack) UntilFailure(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	failed := s.App.Wait()
	go func() { // ends with ctx, which Run cancels
		select {
		case signal := <-failed:
			if signal.ExitCode != 0 { // otherwise an interrupt, which ends ctx
				cancel(s.App.failure())
			}
		case <-ctx.Done():
		}
	}()
	return ctx
}

// Close stops everything in the order of dependencies.
func (s *Stack) Close() error {
	var err error
	if s.App != nil {
		err = s.App.stop()
	}
	if s.Client != nil {
		s.Client.Close()
	}
	if s.Progress != nil {
		s.screen.Bars.Store(nil)
		s.Progress.Stop()
	}
	if s.Broker != nil {
		s.Broker.Stop()
	}
	if s.Scratch != "" {
		err = errors.Join(err, os.RemoveAll(s.Scratch))
	}
	return err
}
