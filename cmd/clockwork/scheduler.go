package main

import "clockwork/pkg/watch"

type schedulerCommand struct {
	schedulerFlags
	brokerFlags
	telemetryFlags
	actionLogFlags
	rotateFlags
}

// Run runs a scheduler until it is told to stop.
func (k *schedulerCommand) Run(c *flags, con *console) error {
	broker, err := k.reach(c, con)
	if err != nil {
		return err
	}
	return k.heard(con, func(hub *watch.Hub) error {
		plan, err := k.module(hub, con.log)
		if err != nil {
			return err
		}
		return serve(con, broker, plan)
	}, k.actionLog(k.rotateFlags))
}
