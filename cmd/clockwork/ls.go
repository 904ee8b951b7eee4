package main

import (
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
)

type lsCommand struct{}

// Run lists the models.
func (l *lsCommand) Run(c *flags, con *console) error {
	return show(c, con, (*client.Client).Models, func(list *protocol.ModelList) error {
		return printModels(con.out, con.display.Width(), list.Models)
	})
}
