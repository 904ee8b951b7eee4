package serve

import (
	"log/slog"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/trace"
)

// recordTraces has traces of requests recorded where the OTEL_ variables want that. They
// are the standard's, so that they are the same for every program of a host, and have
// no flags.
func recordTraces(hub *watch.Hub, log *slog.Logger) (listener, error) {
	config, err := trace.FromEnvironment()
	if config == nil {
		return nil, cli.Usage(err)
	}
	return trace.Open(*config, hub, log)
}
