package main

import (
	"fmt"

	"clockwork/cmd/clockwork/cli"
)

type versionCommand struct{}

// Run prints which build this is.
func (v *versionCommand) Run(con *cli.Console) error {
	if con.JSON {
		return cli.PrintJSON(con.Out, cli.ThisVersion())
	}
	_, err := fmt.Fprintln(con.Out, cli.VersionText())
	return err
}

// helpCommand is for the list of commands: cli.Run turns help COMMAND into COMMAND --help.
type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command; without one, all are listed."`
}
