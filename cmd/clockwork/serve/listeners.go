package serve

import (
	"errors"
	"log/slog"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/metrics"
	"clockwork/pkg/watch/summary"
)

// TelemetryFlags select the listeners to the services of this process. Each listener has
// its flags here.
type TelemetryFlags struct {
	Metrics       string `placeholder:"HOST:PORT" help:"Serve Prometheus metrics at /metrics, and the probes /livez and /readyz, to whoever reaches this address; port 0 takes a free one." group:"Telemetry"`
	MetricsModels int    `default:"100" placeholder:"N" help:"How many models have metrics of their own, by default 100; the others are counted together." group:"Telemetry"`

	ShutdownFlags

	Summary time.Duration `default:"10s" from:"0 or 1s" to:"24h" help:"How often to log what the service did while it does something; 0 for never." group:"Telemetry"`
}

// listener is attached to a hub, and closed when the services have stopped.
type listener interface{ Close() error }

// opener attaches a listener; it returns nil if the flags do not enable it.
type opener func(*watch.Hub, *slog.Logger) (listener, error)

// Heard runs services that report to a hub. Its listeners are those that the flags
// enable, plus those in more, which not every service has.
func (f *TelemetryFlags) Heard(con *cli.Console, run func(*watch.Hub) error, more ...opener) (err error) {
	if err := (metrics.Config{Models: f.MetricsModels}).Validate(); err != nil {
		return cli.Usagef("--metrics-%v", err)
	}
	hub := &watch.Hub{}
	listeners, err := listen(hub, con.Log, append(f.openers(con), more...))
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

// openers returns the openers of the listeners that every service may have.
func (f *TelemetryFlags) openers(con *cli.Console) []opener {
	return []opener{
		f.measure,
		func(hub *watch.Hub, log *slog.Logger) (listener, error) {
			return f.summarise(hub, log, con.Screen.Say)
		},
		recordTraces,
	}
}

// listen attaches the listeners. It returns those that it has opened, also with an
// error.
func listen(hub *watch.Hub, log *slog.Logger, openers []opener) (opened []listener, err error) {
	for _, open := range openers {
		l, err := open(hub, log)
		if err != nil {
			return opened, err
		}
		if l != nil {
			opened = append(opened, l)
		}
	}
	return opened, nil
}

// measure serves metrics.
func (f *TelemetryFlags) measure(hub *watch.Hub, log *slog.Logger) (listener, error) {
	if f.Metrics == "" {
		return nil, nil
	}
	if _, _, err := splitAddress("--metrics", f.Metrics); err != nil {
		return nil, err
	}
	server, err := metrics.Listen(f.Metrics, metrics.New(hub, metrics.Config{Models: f.MetricsModels}), log)
	if err != nil {
		return nil, err // a nil *metrics.Server would make a non-nil listener
	}
	return server, nil
}

// summarise logs what the services did, or reports it through say if that level is not
// logged.
func (f *TelemetryFlags) summarise(hub *watch.Hub, log *slog.Logger, say func(string)) (listener, error) {
	if f.Summary == 0 {
		return nil, nil
	}
	return summary.Listen(f.Summary, hub, log, say), nil
}
