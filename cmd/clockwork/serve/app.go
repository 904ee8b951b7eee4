package serve

import (
	"context"
	"fmt"
	"log/slog"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"clockwork/cmd/clockwork/cli"
)

// Run runs services until a signal, or until one fails.
func Run(con *cli.Console, end *Shutdown, options ...fx.Option) error {
	a, err := startApp(con.Log, options...)
	if err != nil {
		return err
	}
	failed := a.AwaitEnd(end)
	if err := a.stop(); err != nil {
		return err
	}
	return failed
}

// App is running services.
type App struct {
	*fx.App
	*failureLog
}

func startApp(log *slog.Logger, options ...fx.Option) (*App, error) {
	TuneCollector()
	BoundMemory()
	failures := newFailureLog(log)
	a := &App{fx.New(
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

func (a *App) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.StopTimeout())
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		return fmt.Errorf("stop services: %w", err)
	}
	return nil
}
