package main

import (
	"go.uber.org/fx"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/watch"
	"clockwork/services/controller"
)

type controllerCommand struct {
	serve.ControllerFlags
	FrontDoor bool `default:"true" negatable:"" help:"Take requests from clients too; without, clockwork frontdoor takes them." group:"Controller"`
	serve.RecordFlags
	serve.BrokerFlags
	serve.TelemetryFlags
	serve.RequestLogFlags
	serve.RotateFlags
}

// Run runs a controller until a signal stops it.
func (k *controllerCommand) Run(c *cli.Flags, con *cli.Console) error {
	config, err := k.Config()
	if err != nil {
		return err
	}
	config.NoClients = !k.FrontDoor
	broker, err := k.Reach(c, con)
	if err != nil {
		return err
	}
	return k.Heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return k.Recorded(func(to *recorder.Direct) error {
			serve.RecordController(&config, to)
			return serve.Run(con, k.Shutdown(hub, con.Log), broker, fx.Supply(config), controller.Module)
		})
	}, k.OpenRequestLog(k.RotateFlags))
}
