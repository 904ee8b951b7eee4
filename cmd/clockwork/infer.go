package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/cmd/clockwork/ask"
	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
	"clockwork/pkg/watch/trace"
	"clockwork/pkg/wire"
)

type inferCommand struct {
	Model     string        `arg:"" help:"The model's name."`
	Input     string        `type:"existingfile" env:"-" placeholder:"FILE" xor:"input" help:"A JSON or msgpack request, or raw little-endian bytes: all items of the first input, then all of the next. Without it inputs of the right shape are made up."`
	Generated bool          `env:"-" xor:"input" help:"Send no input; workers with --generate-inputs make one."`
	Items     int           `default:"1" env:"-" help:"How many items a made-up input holds."`
	SLO       time.Duration `name:"slo" default:"100ms" env:"-" from:"1us" to:"1h" help:"The latency target."`
	Count     int           `default:"1" env:"-" help:"How many requests to send, at most 1000000; more than one give a table."`
	Par       int           `name:"concurrency" default:"1" env:"-" help:"How many of them at a time, at most 10000."`
	Trace     string        `name:"traceparent" env:"TRACEPARENT" placeholder:"CONTEXT" help:"The span of a trace that the requests belong to, as in W3C Trace Context."`
	ask.WaitFlags

	// patience is how long a request may wait for activation in the stack, on top of the
	// SLO.
	patience time.Duration
}

// inBuffer is how long a request waits in the stack's startup buffer, by default, and a
// little more.
const inBuffer = 11 * time.Second

// Help says when requests are sent.
func (i *inferCommand) Help() string {
	return `Requests are sent once the stack is ACTIVE. With --no-wait they are sent at once: before
activation they wait in the stack, for the controller's --buffer-timeout (10s).`
}

// Run sends the requests and prints one answer, or a table of many.
func (i *inferCommand) Run(c *cli.Flags, con *cli.Console) error {
	if err := i.check(); err != nil {
		return err
	}
	ctx, cancel := cli.Interruptible()
	defer cancel()
	if i.Trace != "" {
		ctx = client.WithHeader(ctx, nats.Header{trace.Header: {i.Trace}})
	}
	stack, err := c.Connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	if err := i.wait(ctx, stack, con); err != nil {
		return cli.Interrupted(ctx, err)
	}
	request, err := i.request(ctx, stack)
	if err != nil {
		return cli.Interrupted(ctx, err)
	}
	if i.Count > 1 {
		return i.table(ctx, c, con, stack, request)
	}
	response, refusal := stack.Infer(ctx, i.Model, request, i.patience)
	if refusal != nil {
		return cli.Interrupted(ctx, refusal)
	}
	if c.JSON {
		_, err := fmt.Fprintf(con.Out, "%s\n", wire.EncodeResponse(protocol.JSON, response))
		return err
	}
	printResponse(con.Out, response)
	return nil
}

// wait waits until the stack serves, and says why. A stack that does not say its stage is
// sent the request: it may serve without a controller.
func (i *inferCommand) wait(ctx context.Context, stack *client.Client, con *cli.Console) error {
	i.patience = inBuffer
	if !i.Waits(true) {
		i.patience = i.AtMost(inBuffer)
		return nil
	}
	first, cancel := context.WithTimeout(ctx, firstState)
	s, refusal := stack.Brief(first)
	cancel()
	if refusal != nil || ask.Serves(s) {
		return nil
	}
	fmt.Fprintln(con.Err, "The stack does not serve yet: the request is sent once it does; --no-wait sends it now.")
	if s.Stage == protocol.AwaitingModels || s.Stage == protocol.Active {
		fmt.Fprintln(con.Err, ask.WaitsFor(s))
	}
	bounded, cancel := i.Bound(ctx)
	defer cancel()
	return ask.AwaitActive(bounded, stack, con, s, func(s *protocol.StackState) error {
		if s.Stage < protocol.Profiling {
			return nil
		}
		if _, refusal := stack.Model(bounded, i.Model); refusal == nil || refusal.Code != protocol.UnknownModel {
			return nil
		}
		return protocol.Errorf(protocol.UnknownModel, "no model is called %q, and loading has ended", i.Model)
	})
}

// The bounds of --count, whose samples are kept, and of --concurrency, each with a goroutine;
// clockwork bench sends more.
const (
	maxCount = 1_000_000
	maxPar   = 10_000
)

// firstState bounds the question whether the stack serves.
const firstState = 3 * time.Second

// request returns the request that the flags describe.
func (i *inferCommand) request(ctx context.Context, stack *client.Client) (*protocol.InferRequest, error) {
	request := &protocol.InferRequest{}
	var err error
	switch {
	case i.Input != "":
		request, err = ask.ReadRequest(ctx, stack, i.Model, i.Input)
	case !i.Generated:
		// A model that is unknown now may be loaded by the time of activation: then the
		// worker has to generate the input.
		var m *protocol.ModelState
		if m, err = i.model(ctx, stack); m != nil {
			request.Inputs = client.Sample(&m.ModelSpec, i.Items)
		}
	}
	if err != nil {
		return nil, err
	}
	ms := float64(i.SLO) / float64(time.Millisecond)
	request.Parameters.SLOMS = &ms
	return request, nil
}

// model returns the model that an input is made up for, nil if it is not known.
func (i *inferCommand) model(ctx context.Context, stack *client.Client) (*protocol.ModelState, error) {
	m, refusal := stack.Model(ctx, i.Model)
	switch {
	case refusal != nil && refusal.Code == protocol.BadMessage:
		return nil, refusal // another program answers
	case refusal != nil:
		return nil, nil
	}
	if m.NoBatch && i.Items > 1 {
		return nil, protocol.Errorf(protocol.BatchTooLarge, "%s has no batch dimension: a request is one item, and --items is %d", i.Model, i.Items)
	}
	if most := stack.Conn().MaxPayload(); m.ItemBytes() > most/int64(i.Items) {
		refusal := protocol.Errorf(protocol.PayloadTooLarge, "%d items of %s have more bytes than the broker carries (%d)", i.Items, i.Model, most)
		refusal.Limit = most
		return nil, refusal
	}
	return m, nil
}

// check refuses flags that are invalid for any stack.
func (i *inferCommand) check() error {
	if !protocol.ValidName(i.Model) {
		return cli.Usagef("%q is no model's name; names are 1 to %d of [a-z0-9_-]", i.Model, protocol.MaxName)
	}
	if i.Trace != "" && !trace.IsTraceparent(i.Trace) {
		return cli.Usagef("--traceparent %q is no trace context such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", i.Trace)
	}
	for _, flag := range []struct {
		name        string
		value, most int
	}{{"count", i.Count, maxCount}, {"concurrency", i.Par, maxPar}, {"items", i.Items, ask.MaxItems}} {
		if flag.value < 1 || flag.value > flag.most {
			return cli.Usagef("--%s is %d; it must be from 1 to %d", flag.name, flag.value, flag.most)
		}
	}
	return nil
}

func (i *inferCommand) table(ctx context.Context, c *cli.Flags, con *cli.Console, stack *client.Client, request *protocol.InferRequest) error {
	samples, elapsed := i.many(ctx, stack, request)
	summary := report.New(samples, elapsed)
	if con.TTY && ctx.Err() != nil {
		fmt.Fprintln(con.Out) // the terminal has shown ^C
	}
	print := func() error { return ask.PrintSummary(con.Out, con.Display.Width(), summary) }
	if c.JSON {
		print = func() error { return cli.PrintJSON(con.Out, summary) }
	}
	if err := print(); err != nil {
		return err
	}
	if ctx.Err() != nil && len(samples) < i.Count {
		if !c.JSON { // in JSON the count of requests shows it, and the output stays one document
			fmt.Fprintf(con.Err, "clockwork: interrupted; %d of %d requests were answered, the others do not count\n", len(samples), i.Count)
		}
		return cli.ErrShown
	}
	if summary.Total.OK < summary.Total.Requests {
		return cli.ErrShown
	}
	return nil
}

// many returns the requests that were answered: all of them, unless ctx ends.
func (i *inferCommand) many(ctx context.Context, stack *client.Client, request *protocol.InferRequest) ([]report.Sample, time.Duration) {
	var mu sync.Mutex
	var samples []report.Sample
	next := make(chan struct{})
	var senders sync.WaitGroup
	begin := time.Now()
	for range min(i.Par, i.Count) {
		senders.Go(func() {
			for range next {
				sample, _, refusal := ask.Infer(ctx, stack, i.Model, request, i.SLO, i.patience)
				if refusal != nil && ctx.Err() != nil {
					continue // the client gave up; the stack did not fail
				}
				mu.Lock()
				samples = append(samples, sample)
				mu.Unlock()
			}
		})
	}
	for sent := 0; sent < i.Count && ctx.Err() == nil; sent++ {
		next <- struct{}{}
	}
	close(next)
	senders.Wait()
	return samples, time.Since(begin)
}

// The most items of an output, and values of an item, that are printed.
const (
	shownItems  = 4
	shownValues = 8
)

// printValues prints the first values of an output, a line for each item. --json prints
// all of them.
func printValues(w io.Writer, t protocol.Tensor) {
	if len(t.Shape) == 0 || t.Shape[0] < 1 || t.Datatype.Size() == 0 {
		return
	}
	items := t.Shape[0]
	if len(t.Shape) == 1 {
		items = 1 // numbers of as many items, or of one without a batch dimension: a line holds them
	}
	size := int64(len(t.Data)) / items
	values := size / t.Datatype.Size()
	for i := range min(items, shownItems) {
		text := strings.Join(wire.Values(t.Datatype, t.Data[i*size:(i+1)*size], shownValues), " ")
		if values > shownValues {
			text += fmt.Sprintf(" ... (%d values)", values)
		}
		fmt.Fprintf(w, "    %s\n", text)
	}
	if items > shownItems {
		fmt.Fprintf(w, "    ... (%d items)\n", items)
	}
}

// printResponse prints where the time of a request went, and the outputs.
func printResponse(w io.Writer, r *protocol.InferResponse) {
	p := r.Parameters
	part := func(what string, us int64, note string) {
		fmt.Fprintf(w, "  %-16s %8s%s\n", what, terminal.Duration(time.Duration(us)*time.Microsecond), note)
	}
	cold := ""
	if p.ColdStart {
		cold = "  its weights were loaded for this request"
	}
	fmt.Fprintf(w, "%s answered in %.2f ms\n", r.ModelName, float64(p.LatencyUS)/1000)
	part("scheduling", p.SchedulerUS, cold)
	part("worker's queue", p.QueueUS, "  on "+p.Worker)
	part("input copy", p.InputUS, "")
	part("execution", p.ExecUS, fmt.Sprintf("  at batch size %d", p.BatchSize))
	part("output copy", p.OutputUS, "")
	if p.BufferedMS > 0 {
		fmt.Fprintf(w, "  before that it waited %.0f ms for activation\n", p.BufferedMS)
	}
	for _, t := range r.Outputs {
		fmt.Fprintf(w, "  output %s %s%s, %s\n", t.Name, t.Datatype, protocol.ShapeString(t.Shape), terminal.Bytes(int64(len(t.Data))))
		printValues(w, t)
	}
}
