package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"clockwork/cmd/clockwork/ask"
	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
)

type loadCommand struct {
	Path    string        `arg:"" help:"A directory below the workers' model directory, or zoo/NAME for an emulated model."`
	Copies  int           `default:"1" env:"-" help:"How many copies, each with weights of its own, called NAME-1, NAME-2, ...; at most 4096."`
	Name    string        `env:"-" help:"The model's name; by default the last part of the path."`
	Timeout time.Duration `default:"90s" env:"-" from:"1ms" to:"24h" help:"How long to wait for the answer."`
	ask.WaitFlags
}

// Help says what a load begins.
func (l *loadCommand) Help() string {
	return `Loading closes when no load was asked for or pending for the controller's --load-idle
(10s); then every model is measured, and then the stack serves. On a terminal, load
waits for that: load further models in another terminal meanwhile, or with --no-wait.`
}

// Run sends the load request, waits for the answer, and on a terminal until the stack
// serves.
func (l *loadCommand) Run(c *cli.Flags, con *cli.Console) error {
	if err := l.check(); err != nil {
		return err
	}
	ctx, cancel := cli.Interruptible()
	defer cancel()
	stack, err := c.Connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	reply, err := l.load(ctx, stack)
	if err != nil {
		return cli.Interrupted(ctx, err)
	}
	wait := l.Waits(con.TTY)
	if !c.JSON {
		printLoad(con.Out, reply)
	}
	state, refusal := stack.Brief(ctx)
	switch {
	case wait && refusal != nil:
		return cli.Interrupted(ctx, refusal)
	case wait:
		err = l.wait(ctx, stack, con, reply, state)
	case refusal == nil && !c.JSON:
		_, err = fmt.Fprintln(con.Out, nextText(state))
	}
	if c.JSON && err == nil {
		return cli.PrintJSON(con.Out, reply)
	}
	return err
}

// load sends the request and waits for its answer.
func (l *loadCommand) load(ctx context.Context, stack *client.Client) (*protocol.LoadReply, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	reply, refusal := stack.Load(ctx, protocol.LoadRequest{Path: l.Path, Name: l.Name, Copies: &l.Copies})
	if refusal != nil {
		return nil, refusal
	}
	return reply, nil
}

// wait waits until the stack serves the models that were loaded.
func (l *loadCommand) wait(ctx context.Context, stack *client.Client, con *cli.Console, reply *protocol.LoadReply, s *protocol.StackState) error {
	bounded, cancel := l.Bound(ctx)
	defer cancel()
	if err := ask.AwaitActive(bounded, stack, con, s, func(*protocol.StackState) error { return nil }); err != nil {
		return cli.Interrupted(ctx, err)
	}
	models, refusal := stack.Models(ctx)
	if refusal != nil {
		return cli.Interrupted(ctx, refusal)
	}
	return areServed(models, reply.Models)
}

// areServed returns an error if one of the models is not served.
func areServed(list *protocol.ModelList, names []string) error {
	models := map[string]*protocol.ModelState{}
	for i := range list.Models {
		models[list.Models[i].Name] = &list.Models[i]
	}
	for _, name := range names {
		switch m := models[name]; {
		case m == nil:
			return protocol.Errorf(protocol.UnknownModel, "%s was loaded, and is not among the models that are served", name)
		case m.Quarantined != "":
			return protocol.Errorf(protocol.ModelQuarantined, "%s is not served: %s", name, m.Quarantined)
		}
	}
	return nil
}

// nextText says what follows a load.
func nextText(s *protocol.StackState) string {
	switch {
	case ask.Serves(s):
		return "The stack is ACTIVE: the model is served."
	case s.Stage == protocol.Loading:
		return ask.WaitsFor(s) + ".\nThen every model is measured, and then served; load --wait and infer wait for that."
	}
	return ask.WaitsFor(s) + "."
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
	}
	return nil
}

func printLoad(w io.Writer, reply *protocol.LoadReply) {
	verb := "loaded"
	if reply.Held {
		verb = "already held"
	}
	version := ""
	if reply.Version > 0 {
		version = fmt.Sprintf(", version %d", reply.Version)
	}
	fmt.Fprintf(w, "%s %s%s\n", verb, cli.CopiesText(reply.Models), version)
	for _, in := range reply.Inputs {
		fmt.Fprintf(w, "  input   %s\n", in)
	}
	for _, out := range reply.Outputs {
		fmt.Fprintf(w, "  output  %s\n", out)
	}
	batches := fmt.Sprint(reply.BatchSizes)
	if reply.NoBatch {
		batches = "none: the shapes of requests are those above"
	}
	fmt.Fprintf(w, "  batches %s\n  weights %s a copy\n", batches, cli.Count(reply.Pages, "page"))
	for _, note := range reply.Notes {
		fmt.Fprintf(w, "  note    %s\n", note)
	}
	for _, warning := range reply.Warnings {
		fmt.Fprintf(w, "  WARNING: %s\n", warning)
	}
	for _, c := range reply.Changed {
		fmt.Fprintf(w, "  NOT what is at the path now, on worker %s: %s: %s\n", c.Worker, c.Code, c.Message)
	}
	if len(reply.Changed) > 0 {
		fmt.Fprintln(w, "  What was loaded first is served on; --name NAME loads what is there now beside it.")
	}
}
