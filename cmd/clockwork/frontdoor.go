package main

import (
	"go.uber.org/fx"

	"clockwork/pkg/watch"
	"clockwork/services/frontdoor"
)

type frontDoorCommand struct {
	frontDoorFlags
	brokerFlags
	telemetryFlags
	requestLogFlags
	rotateFlags
}

// Run runs a front door until it is told to stop.
func (k *frontDoorCommand) Run(c *flags, con *console) error {
	config, err := k.frontDoorFlags.config()
	if err != nil {
		return err
	}
	broker, err := k.reach(c, con)
	if err != nil {
		return err
	}
	return k.heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return serve(con, broker, fx.Supply(config), frontdoor.Module)
	}, k.requestLog(k.rotateFlags))
}
