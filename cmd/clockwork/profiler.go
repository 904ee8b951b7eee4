package main

import (
	"go.uber.org/fx"

	"clockwork/pkg/lab/journal"
	"clockwork/pkg/watch"
	"clockwork/services/profiler"
)

type profilerCommand struct {
	profilerFlags
	journalFlags
	brokerFlags
	telemetryFlags
}

// Run runs a profiler until it is told to stop.
func (k *profilerCommand) Run(c *flags, con *console) error {
	config, err := k.config()
	if err != nil {
		return err
	}
	broker, err := k.reach(c, con)
	if err != nil {
		return err
	}
	return k.heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return k.journaled(func(to *journal.Writer) error {
			if to != nil {
				config.Observers = append(config.Observers, to.Measure())
			}
			return serve(con, broker, fx.Supply(config), profiler.Module)
		})
	})
}
