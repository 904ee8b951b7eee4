package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/fx"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/services/host"
)

// broken is a service that ends at once.
type broken struct{ err error }

func (b broken) Run(context.Context) error { return b.err }

func TestAFailedServiceIsNoFaultOfClockwork(t *testing.T) {
	for _, row := range []struct {
		err  error
		code protocol.Code
	}{
		{errors.New("a living worker is called w1 already"), protocol.ShuttingDown},
		{protocol.Errorf(protocol.NoMemory, "no pages"), protocol.NoMemory},
	} {
		a, err := startApp(slog.New(slog.NewTextHandler(io.Discard, nil)), fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger) {
			host.Attach("worker w1", broken{row.err}, lc, sd, log)
		}))
		if err != nil {
			t.Fatal(err)
		}
		failed := a.AwaitEnd(&Shutdown{hub: &watch.Hub{}})
		if err := a.stop(); err != nil {
			t.Error(err)
		}
		if !errors.Is(failed, ErrService) || !strings.Contains(failed.Error(), "worker w1 failed: "+row.err.Error()) {
			t.Errorf("%v is told as %v", row.err, failed)
		}
		if got := cli.AsRefusal(failed, cli.ExitFailed).Code; got != row.code {
			t.Errorf("%v has code %s, want %s", row.err, got, row.code)
		}
	}
}
