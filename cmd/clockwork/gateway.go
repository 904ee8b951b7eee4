package main

import (
	"go.uber.org/fx"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/lab/journal"
	"clockwork/pkg/watch"
	"clockwork/services/gateway"
)

type gatewayCommand struct {
	serve.GatewayFlags
	Open bool `help:"Listen beyond this machine although nobody has to prove who they are: whoever reaches the gateway may send requests to every model." group:"Gateway"`
	serve.RequestFlags
	serve.JournalFlags
	serve.BrokerFlags
	serve.TelemetryFlags
	serve.RequestLogFlags
	serve.RotateFlags
}

// Run runs a gateway until a signal stops it.
func (k *gatewayCommand) Run(c *cli.Flags, con *cli.Console) error {
	config, err := k.config()
	if err != nil {
		return err
	}
	broker, err := k.Reach(c, con)
	if err != nil {
		return err
	}
	for _, in := range k.Ingresses(&config) {
		if err := in.Listen(); err != nil {
			return err
		}
		defer in.Close() // the gateway has closed it, unless it did not start
		con.Log.Info("gateway listens", "protocol", in.Name, "address", in.Address())
	}
	return k.Heard(con, func(hub *watch.Hub) error {
		config.Telemetry = hub
		return k.Journaled(func(to *journal.Writer) error {
			serve.RecordFrontDoor(&config.Config, to)
			return serve.Run(con, k.ShutdownOf(hub, con.Log, true), broker, fx.Supply(config), gateway.Module)
		})
	}, k.OpenRequestLog(k.RotateFlags))
}

func (k *gatewayCommand) config() (gateway.Config, error) {
	if k.Off() {
		return gateway.Config{}, cli.Usagef("--http and --grpc are off: a gateway that hears nothing serves nobody")
	}
	if err := k.MayListen(k.Open); err != nil {
		return gateway.Config{}, err
	}
	return k.GatewayFlags.Config(k.RequestFlags)
}
