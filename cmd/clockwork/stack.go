package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"go.uber.org/fx"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/client"
	"clockwork/pkg/watch"
	"clockwork/services/controller"
	"clockwork/services/profiler"
	"clockwork/services/worker"
)

// stackFlags are the services' own flags.
type stackFlags struct {
	Workers int `default:"1" help:"How many workers to run, at most 64." group:"Worker"`
	workerFlags
	controllerFlags
	profilerFlags
	schedulerFlags
}

// maxWorkers is as many as one process may run; more want hosts of their own.
const maxWorkers = 64

// parts are all services as the flags want them; they tell the hub of their work.
func (f *stackFlags) parts(hub *watch.Hub, log *slog.Logger) (fx.Option, error) {
	if f.Workers < 1 || f.Workers > maxWorkers {
		return nil, usagef("--workers is %d; it must be from 1 to %d", f.Workers, maxWorkers)
	}
	control, err := f.controllerFlags.config()
	if err != nil {
		return nil, err
	}
	measure, err := f.profilerFlags.config()
	if err != nil {
		return nil, err
	}
	control.Telemetry, measure.Telemetry = hub, hub
	var workers []worker.Config
	for i := range f.Workers {
		config, err := f.workerFlags.config(workerName(bus.HostName(), i, f.Workers))
		if err != nil {
			return nil, err
		}
		config.Telemetry = hub
		workers = append(workers, config)
	}
	plan, err := f.schedulerFlags.module(hub, log)
	if err != nil {
		return nil, err
	}
	return fx.Options(
		fx.Supply(control, measure, workers),
		controller.Module, profiler.Module, plan, worker.Module,
	), nil
}

// workerName is the i-th of n workers of a host.
func workerName(host string, i, n int) string {
	if n == 1 {
		return host
	}
	suffix := fmt.Sprintf("-%d", i+1)
	return host[:min(len(host), 64-len(suffix))] + suffix
}

// stack is all of Clockwork in this process, around a broker of its own.
type stack struct {
	*progress
	screen *screen
	client *client.Client
	app    *app

	broker *broker
	// scratch is a directory that goes with the stack, "" for none.
	scratch string
}

// openStack starts the broker and the watching, but no service yet, so that
// no event is missed. data is where state is kept, "" for a directory that
// goes with the stack; open lets others than this machine reach it.
func openStack(c *flags, con *console, listen, data string, open bool) (*stack, error) {
	s := &stack{}
	err := s.open(c, con, listen, data, open)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stack) open(c *flags, con *console, listen, data string, open bool) (err error) {
	if data == "" {
		if s.scratch, err = os.MkdirTemp("", "clockwork-"); err != nil {
			return fmt.Errorf("make temporary directory: %w", err)
		}
		data = filepath.Join(s.scratch, "nats")
	}
	if s.broker, err = startBroker(con, listen, data, open); err != nil {
		return err
	}
	if s.client, err = client.Connect("", c.Prefix, nats.InProcessServer(s.broker.Server)); err != nil {
		return err
	}
	s.progress, s.screen = startProgress(con), con.screen
	s.screen.bars.Store(s.progress)
	_, err = s.client.Events(s.progress.Event) // until the client is closed
	return err
}

// start runs the services.
func (s *stack) start(c *flags, con *console, parts fx.Option) (err error) {
	reach := bus.Config{InProcess: s.broker.Server, Prefix: c.Prefix, Log: con.log}
	s.app, err = startApp(con.log, fx.Supply(reach), parts)
	return err
}

// untilFailure ends with ctx, or when a service fails.
func (s *stack) untilFailure(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	failed := s.app.Wait()
	go func() { // ends with ctx, which Run cancels
		select {
		case signal := <-failed:
			if signal.ExitCode != 0 { // else it was an interrupt, which ends ctx
				cancel(s.app.failure())
			}
		case <-ctx.Done():
		}
	}()
	return ctx
}

// close ends everything in the order in which it depends on each other.
func (s *stack) close() error {
	var err error
	if s.app != nil {
		err = s.app.stop()
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.progress != nil {
		s.screen.bars.Store(nil)
		s.progress.Stop()
	}
	if s.broker != nil {
		s.broker.stop()
	}
	if s.scratch != "" {
		err = errors.Join(err, os.RemoveAll(s.scratch))
	}
	return err
}
