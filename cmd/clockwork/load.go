package main

import (
	"fmt"

	"clockwork/pkg/protocol"
)

type loadCommand struct {
	Path   string `arg:"" help:"A directory below the workers' model directory, or zoo/NAME for an emulated model."`
	Copies int    `default:"1" help:"How many copies, each with weights of its own."`
	Name   string `help:"The model's name; by default the last part of the path."`
}

// Run asks for the load and waits for it.
func (l *loadCommand) Run(c *cli, con *console) error {
	ctx, cancel := interruptible()
	defer cancel()
	stack, err := c.connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	reply, refused := stack.Load(ctx, protocol.LoadRequest{Path: l.Path, Name: l.Name, Copies: &l.Copies})
	if refused != nil {
		return refused
	}
	if c.JSON {
		return printJSON(con.out, reply)
	}
	verb := "loaded"
	if reply.Held {
		verb = "already held"
	}
	switch n := len(reply.Models); n {
	case 1:
		fmt.Fprintf(con.out, "%s %s\n", verb, reply.Models[0])
	default:
		fmt.Fprintf(con.out, "%s %d copies: %s to %s\n", verb, n, reply.Models[0], reply.Models[n-1])
	}
	for _, in := range reply.Inputs {
		fmt.Fprintf(con.out, "  input   %s\n", in)
	}
	for _, out := range reply.Outputs {
		fmt.Fprintf(con.out, "  output  %s\n", out)
	}
	fmt.Fprintf(con.out, "  batches %v, %d pages of weights a copy\n", reply.BatchSizes, reply.Pages)
	return nil
}
