// Package host runs a service as an fx module: a service is a function that runs
// until its context ends. The package starts it, stops it, waits for it, and
// shuts the process down if it fails.
package host

import (
	"context"
	"errors"
	"log/slog"

	"go.uber.org/fx"
)

// Service is a service of Clockwork as fx sees it.
type Service interface {
	// Run works until ctx ends, then returns nil once everything it started has
	// ended. An error before that is fatal.
	Run(ctx context.Context) error
}

// Module is the fx module of a service that provide makes.
func Module[S Service](name string, provide any) fx.Option {
	return fx.Module(name, fx.Provide(provide), fx.Invoke(func(s S, lifecycle fx.Lifecycle, shutdown fx.Shutdowner, log *slog.Logger) {
		Attach(name, s, lifecycle, shutdown, log)
	}))
}

// Attach starts a service with the app and stops it with the app. If the service
// fails, the app shuts down with exit code 1.
func Attach(name string, service Service, lifecycle fx.Lifecycle, shutdown fx.Shutdowner, log *slog.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	lifecycle.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(done)
				err := service.Run(ctx)
				if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
					return
				}
				if ctx.Err() != nil { // it was asked to end
					log.Warn("service ended with an error", "service", name, "error", err)
					return
				}
				log.Error("service failed", "service", name, "error", err)
				if err := shutdown.Shutdown(fx.ExitCode(1)); err != nil {
					log.Error("shutdown failed", "error", err)
				}
			}()
			return nil
		},
		OnStop: func(stop context.Context) error {
			cancel()
			select {
			case <-done:
				return nil
			case <-stop.Done():
				return stop.Err()
			}
		},
	})
}
