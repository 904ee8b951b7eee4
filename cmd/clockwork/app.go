package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
)

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
