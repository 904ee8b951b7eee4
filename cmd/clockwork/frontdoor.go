package main

import (
	"go.uber.org/fx"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/watch"
	"clockwork/services/frontdoor"
)

type frontDoorCommand struct {
	serve.FrontDoorFlags
	serve.RecordFlags
	serve.BrokerFlags
	serve.TelemetryFlags
	serve.RequestLogFlags
	serve.RotateFlags
}

// Run runs a front door until a signal stops it.
func (k *frontDoorCommand) Run(c *cli.Flags, con *cli.Console) error {
	config, err := k.FrontDoorFlags.Config()
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
			serve.RecordFrontDoor(&config, to)
			return serve.Run(con, k.Shutdown(hub, con.Log), broker, fx.Supply(config), frontdoor.Module)
		})
	}, k.OpenRequestLog(k.RotateFlags))
}
