package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/protocol"
)

type loadCommand struct {
	Path    string        `arg:"" help:"A directory below the workers' model directory, or zoo/NAME for an emulated model."`
	Copies  int           `default:"1" env:"-" help:"How many copies, each with weights of its own, called NAME-1, NAME-2, ...; at most 4096."`
	Name    string        `env:"-" help:"The model's name; by default the last part of the path."`
	Timeout time.Duration `default:"90s" env:"-" help:"How long to wait for the answer."`
}

// Run sends the load request and waits for the answer.
func (l *loadCommand) Run(c *cli.Flags, con *cli.Console) error {
	if err := l.check(); err != nil {
		return err
	}
	ctx, cancel := cli.Interruptible()
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	stack, err := c.Connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	reply, refused := stack.Load(ctx, protocol.LoadRequest{Path: l.Path, Name: l.Name, Copies: &l.Copies})
	if refused != nil {
		return cli.Interrupted(ctx, refused)
	}
	if c.JSON {
		return cli.PrintJSON(con.Out, reply)
	}
	printLoad(con.Out, reply)
	return nil
}

// check refuses flags that are invalid for any stack.
func (l *loadCommand) check() error {
	switch {
	case l.Path == "":
		return cli.Usagef("the path is empty; expected zoo/NAME, or NAME of a directory below the workers' --models")
	case l.Copies < 1 || l.Copies > protocol.MaxCopies:
		return cli.Usagef("--copies is %d; it must be from 1 to %d", l.Copies, protocol.MaxCopies)
	case l.Name != "" && !protocol.ValidName(l.Name):
		return cli.Usagef("--name %q is no model's name; names are 1 to %d of [a-z0-9_-]", l.Name, protocol.MaxName)
	case l.Timeout <= 0:
		return cli.Usagef("--timeout is %v; it must be positive", l.Timeout)
	}
	return nil
}

func printLoad(w io.Writer, reply *protocol.LoadReply) {
	verb := "loaded"
	if reply.Held {
		verb = "already held"
	}
	fmt.Fprintf(w, "%s %s\n", verb, cli.CopiesText(reply.Models))
	for _, in := range reply.Inputs {
		fmt.Fprintf(w, "  input   %s\n", in)
	}
	for _, out := range reply.Outputs {
		fmt.Fprintf(w, "  output  %s\n", out)
	}
	fmt.Fprintf(w, "  batches %v\n  weights %s a copy\n", reply.BatchSizes, cli.Count(reply.Pages, "page"))
}
