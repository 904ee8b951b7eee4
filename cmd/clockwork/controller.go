package main

import (
	"go.uber.org/fx"

	"clockwork/pkg/lab/journal"
	"clockwork/pkg/watch"
	"clockwork/services/controller"
)

type controllerCommand struct {
	controllerFlags
	FrontDoor bool `default:"true" negatable:"" help:"Take requests from clients too; without, clockwork frontdoor takes them." group:"Controller"`
	journalFlags
	brokerFlags
	telemetryFlags
	requestLogFlags
	rotateFlags
}

// Run runs a controller until it is told to stop.
func (k *controllerCommand) Run(c *flags, con *console) error {
	config, err := k.config()
	if err != nil {
		return err
	}
	config.NoClients = !k.FrontDoor
	broker, err := k.reach(c, con)
	if err != nil {
		return err
	}
	return k.heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return k.journaled(func(to *journal.Writer) error {
			if to != nil {
				config.Observers = append(config.Observers, to.Startup())
			}
			return serve(con, broker, fx.Supply(config), controller.Module)
		})
	}, k.requestLog(k.rotateFlags))
}
