package serve

import (
	"log/slog"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/trace"
)

// recordTraces records traces of requests if the OTEL_ variables enable it. There are no
// flags for it: the standard variables are the same for every program of a host.
func recordTraces(hub *watch.Hub, log *slog.Logger) (listener, error) {
	config, err := trace.FromEnvironment()
	if config == nil {
		return nil, cli.Usage(err)
	}
	return trace.Open(*config, hub, log)
}
