package main

import (
	"go.uber.org/fx"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/watch"
	"clockwork/services/profiler"
)

type profilerCommand struct {
	serve.ProfilerFlags
	serve.RecordFlags
	serve.BrokerFlags
	serve.TelemetryFlags
}

// Run runs a profiler until a signal stops it.
func (k *profilerCommand) Run(c *cli.Flags, con *cli.Console) error {
	config, err := k.Config()
	if err != nil {
		return err
	}
	broker, err := k.Reach(c, con)
	if err != nil {
		return err
	}
	return k.Heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return k.Recorded(func(to *recorder.Direct) error {
			serve.RecordProfiler(&config, to)
			return serve.Run(con, k.Shutdown(hub, con.Log), broker, fx.Supply(config), profiler.Module)
		})
	})
}
