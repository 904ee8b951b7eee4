package main

import (
	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/watch"
)

type schedulerCommand struct {
	serve.SchedulerFlags
	serve.BrokerFlags
	serve.TelemetryFlags
	serve.ActionLogFlags
	serve.RotateFlags
}

// Run runs a scheduler until a signal stops it.
func (k *schedulerCommand) Run(c *cli.Flags, con *cli.Console) error {
	broker, err := k.Reach(c, con)
	if err != nil {
		return err
	}
	return k.Heard(con, func(hub *watch.Hub) error {
		plan, err := k.Module(hub, con.Log)
		if err != nil {
			return err
		}
		return serve.Run(con, k.Shutdown(hub, con.Log), broker, plan)
	}, k.OpenActionLog(k.RotateFlags))
}
