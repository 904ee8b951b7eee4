package serve

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/watch"
)

// ShutdownFlags say how a process with services stops.
type ShutdownFlags struct {
	ShutdownDelay time.Duration `default:"5s" placeholder:"DURATION" from:"0s" to:"1h" help:"How long to go on after SIGTERM, while /readyz, or the gateway's /v2/health/ready, says already that the process stops: load balancers need that time to send requests elsewhere. By default 5s; where no probe can see it (no --metrics, and no gateway) there is no delay. A second signal ends the process at once." group:"Telemetry"`
}

// Shutdown is what happens between a signal and the end of the services.
type Shutdown struct {
	hub   *watch.Hub
	delay time.Duration
	log   *slog.Logger
}

// Shutdown returns how the services that report to the hub stop.
func (f *TelemetryFlags) Shutdown(hub *watch.Hub, log *slog.Logger) *Shutdown {
	return f.ShutdownOf(hub, log, f.Metrics != "")
}

// ShutdownOf is Shutdown of services that a load balancer probes, or does not.
func (f *TelemetryFlags) ShutdownOf(hub *watch.Hub, log *slog.Logger, probed bool) *Shutdown {
	s := &Shutdown{hub: hub, log: log}
	if probed {
		s.delay = f.ShutdownDelay
	}
	return s
}

// AwaitEnd waits for a signal, or for a service that fails; then it returns, and the
// caller stops the services. SIGTERM comes from a supervisor that has others to send
// requests to, so the services go on for a while although they are no longer ready.
// SIGINT, and SIGHUP of a closed terminal, come from a person, who does not want to
// wait.
func (a *App) AwaitEnd(end *Shutdown) error {
	signals := make(chan os.Signal, 1)
	ending := cli.EndingSignals()
	signal.Notify(signals, ending...)
	defer signal.Stop(signals)
	reports := a.Wait()
	var over <-chan time.Time
	for {
		select {
		case came := <-signals:
			// From here on a signal has its default effect: it ends the process at once.
			signal.Reset(ending...)
			end.hub.Stopping()
			if came != syscall.SIGTERM || end.delay == 0 {
				return nil
			}
			end.log.Info("stopping: not ready any more, but serving", "for", end.delay)
			over = time.After(end.delay)
		case report := <-reports: // fx reports signals too, without an exit code
			if report.ExitCode != 0 {
				return a.failure()
			}
		case <-over:
			return nil
		}
	}
}
