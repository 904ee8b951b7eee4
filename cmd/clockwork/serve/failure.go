package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/protocol"
)

// failureLog forwards a log and keeps the reason of the first service failure: fx ends
// an app only with an exit code, and the reason is only in the log.
type failureLog struct {
	slog.Handler
	// first holds the failure that ended the app; later failures follow from it.
	first chan error
}

func newFailureLog(log *slog.Logger) *failureLog {
	return &failureLog{log.Handler(), make(chan error, 1)}
}

// Handle catches the record that services/host logs before it ends the app.
func (f *failureLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError && r.Message == "service failed" {
		select {
		case f.first <- failureOf(r):
		default:
		}
	}
	return f.Handler.Handle(ctx, r)
}

func failureOf(r slog.Record) error {
	service, err := "a service", errors.New("its log says why")
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case string:
			service = v
		case error:
			err = v
		}
		return true
	})
	return fmt.Errorf("%s failed: %w", service, err)
}

// ErrService: the services' log has the details.
var ErrService = errors.New("a service failed; the log above says why")

// serviceError is the reason why a service failed.
type serviceError struct{ error }

func (serviceError) Is(target error) bool { return target == ErrService }
func (e serviceError) Unwrap() error      { return e.error }

// failure returns the failure's reason; call it after a service has failed. A reason
// without a code of its own is SHUTTING_DOWN: the service is gone, which is not a fault
// of Clockwork.
func (f *failureLog) failure() error {
	select {
	case err := <-f.first:
		return cli.WithCode(protocol.ShuttingDown, serviceError{err})
	default:
		return cli.WithCode(protocol.ShuttingDown, ErrService)
	}
}
