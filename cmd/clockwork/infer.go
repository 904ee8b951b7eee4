package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"clockwork/pkg/bus"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/report"
)

type inferCommand struct {
	Model string        `arg:"" help:"The model's name."`
	Input string        `type:"existingfile" help:"A JSON or msgpack request, or raw little-endian bytes for a model with one input. Without it the worker generates inputs."`
	SLO   time.Duration `name:"slo" default:"100ms" help:"The latency target."`
	Count int           `default:"1" help:"How many requests to send."`
	Par   int           `name:"concurrency" default:"1" help:"How many of them at a time."`
	Wait  time.Duration `default:"10s" help:"How long to wait for activation on top of the SLO."`
}

// Run sends the requests and prints one answer, or a table of many.
func (i *inferCommand) Run(c *cli, con *console) error {
	if i.Count < 1 || i.Par < 1 {
		return usageError{"--count and --concurrency must be at least 1"}
	}
	ctx, cancel := interruptible()
	defer cancel()
	stack, err := c.connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	request, err := i.request(ctx, stack)
	if err != nil {
		return err
	}
	if i.Count == 1 {
		response, refused := stack.Infer(ctx, i.Model, request, i.Wait)
		if refused != nil {
			return refused
		}
		return printResponse(c, con, response)
	}
	samples, elapsed := i.many(ctx, stack, request)
	summary := report.Summarize(samples, elapsed)
	if c.JSON {
		return printJSON(con.out, summary)
	}
	return summary.WriteTable(con.out)
}

// request reads the input file, whatever form it has.
func (i *inferCommand) request(ctx context.Context, stack *client.Client) (*protocol.InferRequest, error) {
	request := &protocol.InferRequest{}
	if i.Input != "" {
		body, err := os.ReadFile(i.Input)
		if err != nil {
			return nil, fmt.Errorf("read input: %w", err)
		}
		decoded, fault := bus.DecodeInfer(body)
		if fault == nil {
			request = &decoded
		} else if request.Inputs, err = i.raw(ctx, stack, body); err != nil {
			return nil, err
		}
	}
	ms := float64(i.SLO) / float64(time.Millisecond)
	request.Parameters.SLOMS = &ms
	return request, nil
}

// raw makes the one input of the model out of a file of bytes.
func (i *inferCommand) raw(ctx context.Context, stack *client.Client, body []byte) ([]protocol.Tensor, error) {
	models, refused := stack.Models(ctx)
	if refused != nil {
		return nil, refused
	}
	for _, m := range models.Models {
		if m.Name != i.Model {
			continue
		}
		if len(m.Inputs) != 1 || int64(len(body))%m.ItemBytes() != 0 || len(body) == 0 {
			return nil, protocol.Errorf(protocol.InvalidInput, "%s is neither a request nor %d raw bytes of %s", i.Input, m.ItemBytes(), m.Inputs[0])
		}
		in := m.Inputs[0]
		shape := append([]int64{int64(len(body)) / m.ItemBytes()}, in.Shape...)
		return []protocol.Tensor{{Name: in.Name, Datatype: in.Datatype, Shape: shape, Data: body}}, nil
	}
	return nil, protocol.Errorf(protocol.UnknownModel, "no model is called %q", i.Model)
}

func (i *inferCommand) many(ctx context.Context, stack *client.Client, request *protocol.InferRequest) ([]report.Sample, time.Duration) {
	samples := make([]report.Sample, i.Count)
	next := make(chan int)
	var senders sync.WaitGroup
	begin := time.Now()
	for range i.Par {
		senders.Go(func() {
			for n := range next {
				samples[n] = one(ctx, stack, i.Model, request, i.SLO, i.Wait)
			}
		})
	}
	sent := 0
	for ; sent < i.Count && ctx.Err() == nil; sent++ {
		next <- sent
	}
	close(next)
	senders.Wait()
	return samples[:sent], time.Since(begin)
}

// one sends a request and measures what the client sees.
func one(ctx context.Context, stack *client.Client, model string, request *protocol.InferRequest, slo, wait time.Duration) report.Sample {
	begin := time.Now()
	response, refused := stack.Infer(ctx, model, request, wait)
	sample := report.Sample{Model: model, Latency: time.Since(begin), SLO: slo, Code: protocol.OK}
	if refused != nil {
		sample.Code = refused.Code
		return sample
	}
	sample.Cold, sample.Batch = response.Parameters.ColdStart, response.Parameters.BatchSize
	return sample
}

func printResponse(c *cli, con *console, r *protocol.InferResponse) error {
	if c.JSON {
		_, err := fmt.Fprintf(con.out, "%s\n", bus.EncodeResponse(bus.JSON, r))
		return err
	}
	p := r.Parameters
	fmt.Fprintf(con.out, "%s answered in %.2f ms\n", r.ModelName, float64(p.LatencyUS)/1000)
	fmt.Fprintf(con.out, "  until dispatch %8.2f ms\n", float64(p.SchedulerUS)/1000)
	fmt.Fprintf(con.out, "  worker queue   %8.2f ms  on %s\n", float64(p.QueueUS)/1000, p.Worker)
	fmt.Fprintf(con.out, "  input copy     %8.2f ms\n", float64(p.InputUS)/1000)
	fmt.Fprintf(con.out, "  execution      %8.2f ms  at batch size %d\n", float64(p.ExecUS)/1000, p.BatchSize)
	fmt.Fprintf(con.out, "  output copy    %8.2f ms\n", float64(p.OutputUS)/1000)
	if p.ColdStart {
		fmt.Fprintln(con.out, "  the weights were loaded onto the GPU for this request")
	}
	if p.BufferedMS > 0 {
		fmt.Fprintf(con.out, "  waited %.0f ms for activation\n", p.BufferedMS)
	}
	for _, t := range r.Outputs {
		fmt.Fprintf(con.out, "  output %s %s%s, %d bytes\n", t.Name, t.Datatype, protocol.ShapeString(t.Shape), len(t.Data))
	}
	return nil
}
