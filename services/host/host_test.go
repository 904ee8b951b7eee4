package host

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runs is a service made of a function.
type runs func(ctx context.Context) error

func (r runs) Run(ctx context.Context) error { return r(ctx) }

func app(s Service) *fx.App {
	return fx.New(
		fx.WithLogger(func() fxevent.Logger { return fxevent.NopLogger }),
		fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner) {
			Attach("test", s, lc, sd, slog.New(slog.DiscardHandler))
		}),
	)
}

func TestAServiceLivesWithTheApp(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	a := app(runs(func(ctx context.Context) error {
		close(began)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}))
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Stop did not wait for the service")
	}
}

// What ends because it was asked to may say so in its own words: that is no failure.
func TestAServiceThatIsStoppedHasNotFailed(t *testing.T) {
	var logged strings.Builder
	a := fx.New(
		fx.WithLogger(func() fxevent.Logger { return fxevent.NopLogger }),
		fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner) {
			Attach("test", runs(func(ctx context.Context) error {
				<-ctx.Done()
				return errors.New("the broker was not reached")
			}), lc, sd, slog.New(slog.NewTextHandler(&logged, nil)))
		}),
	)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(logged.String(), "ERROR") {
		t.Error(logged.String())
	}
}

func TestAServiceThatFailsEndsTheApp(t *testing.T) {
	a := app(runs(func(context.Context) error { return errors.New("no GPU") }))
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if signal := <-a.Wait(); signal.ExitCode != 1 {
		t.Errorf("exit code %d, want 1", signal.ExitCode)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAServiceThatHangsDoesNotHangTheStop(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	a := app(runs(func(context.Context) error { <-release; return nil }))
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := a.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop returned %v", err)
	}
}
