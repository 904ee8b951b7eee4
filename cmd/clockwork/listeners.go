package main

import (
	"errors"
	"log/slog"

	"clockwork/pkg/telemetry"
)

// telemetryFlags say who hears of what the services of this process do. Each
// listener has its flags here.
type telemetryFlags struct {
}

// listener is somebody who hears: it was attached to a hub, and is closed when the
// services have stopped.
type listener interface{ Close() error }

// heard runs services that tell a hub, whose listeners are those that the flags want.
func (f *telemetryFlags) heard(log *slog.Logger, run func(*telemetry.Hub) error) (err error) {
	hub := &telemetry.Hub{}
	listeners, err := f.listen(hub, log)
	defer func() {
		for i := len(listeners) - 1; i >= 0; i-- {
			err = errors.Join(err, listeners[i].Close())
		}
	}()
	if err != nil {
		return err
	}
	return run(hub)
}

// listen attaches the listeners; those that it opened it returns, also with an error.
func (f *telemetryFlags) listen(hub *telemetry.Hub, log *slog.Logger) (opened []listener, err error) {
	for _, open := range []func(*telemetry.Hub, *slog.Logger) (listener, error){} {
		l, err := open(hub, log) // nil where the flags want none
		if err != nil {
			return opened, err
		}
		if l != nil {
			opened = append(opened, l)
		}
	}
	return opened, nil
}
