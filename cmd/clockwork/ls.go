package main

import (
	"clockwork/cmd/clockwork/ask"
	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
)

type lsCommand struct{}

// Run lists the models.
func (l *lsCommand) Run(c *cli.Flags, con *cli.Console) error {
	return cli.Show(c, con, (*client.Client).Models, func(list *protocol.ModelList) error {
		return ask.PrintModels(con.Out, con.Display.Width(), list.Models)
	})
}
