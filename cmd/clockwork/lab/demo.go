package lab

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"clockwork/cmd/clockwork/ask"
	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/adapter/backend/onnx"
	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

type Demo struct {
	Backend     string        `enum:"emulated,onnx" default:"onnx" help:"onnx runs a trained model that reads pictures of text, beside emulated ones; emulated needs nothing but this program."`
	ONNXLibrary string        `name:"onnx-library" placeholder:"PATH" help:"ONNX Runtime's shared library; by default the pinned one, fetched by npm and cached."`
	Models      string        `env:"-" placeholder:"DIR" help:"Model directory that holds ocr_rec; by default it is fetched by npm and cached."`
	Misses      float64       `default:"0.2" help:"Fail when more than this share of the requests misses its latency target of 500 ms; 1 for never, as on a machine that is busy with other things."`
	Duration    time.Duration `default:"5s" from:"100ms" to:"1h" help:"How long to send requests to all models."`
}

// demoTimeout ends a demo that hangs; an idle machine needs half a minute, and a first
// download does not count.
const demoTimeout = 2 * time.Minute

// demoLoad is one load of the demo.
type demoLoad struct {
	path   string
	copies int
	// rate is the number of requests a second for each copy.
	rate float64
}

var demoModels = []demoLoad{
	{fetch.OCRModel, 1, 10},
	{"zoo/resnet50_v2", 3, 15},
	{"zoo/densenet121", 1, 20},
	{"zoo/googlenet", 1, 30},
}

// demo is one run.
type demo struct {
	*serve.Stack
	command *Demo
	loads   []demoLoad
	models  string // the model directory
}

// Run shows the whole stack at work.
func (k *Demo) Run(c *cli.Flags, con *cli.Console) (err error) {
	if k.Misses < 0 || k.Misses > 1 {
		return cli.Usagef("--misses is %v; it must be from 0 to 1", k.Misses)
	}
	s, err := serve.OpenStack(c, con, "127.0.0.1:0", "", serve.OpenFlag{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, cancel := cli.Interruptible()
	defer cancel()
	flags, err := k.flags(ctx, s)
	if err != nil {
		return cli.Interrupted(ctx, err)
	}
	parts, err := flags.Parts(nil, nil, con.Log)
	if err != nil {
		return err
	}
	if err := s.Start(c, con, parts); err != nil {
		return err
	}
	ctx, end := context.WithTimeout(ctx, demoTimeout)
	defer end()
	return cli.Interrupted(ctx, (&demo{s, k, k.loads(), flags.Models}).run(s.UntilFailure(ctx)))
}

func (k *Demo) loads() []demoLoad {
	if k.Backend != onnx.Name {
		return demoModels[1:]
	}
	return demoModels
}

// flags returns the flags of up for the demo, with onnx including the fetched files.
func (k *Demo) flags(ctx context.Context, s *serve.Stack) (*serve.StackFlags, error) {
	f := &serve.StackFlags{Workers: 1}
	f.Backend, f.GPUs, f.PageSize, f.GenerateInputs = k.Backend, 1, 16<<20, true
	f.GPUType, f.Scale = "v100", 1
	f.KillOverdue, f.KillOverdueFloor, f.ExecutorMemory = 10, time.Second, 4<<30
	f.LoadIdle, f.BufferTimeout, f.LoadTimeout = 2*time.Second, 30*time.Second, time.Minute
	f.DefaultSLO, f.MaxBatch = 100*time.Millisecond, 16
	f.Iterations, f.Policy = 10, "clockwork"
	if k.Backend != onnx.Name {
		return f, nil
	}
	var err error
	f.ONNXLibrary, f.Models, err = k.ensure(ctx, s)
	return f, err
}

// ensure fetches the files without a flag, and returns the library and a model directory
// that holds the recognition model.
func (k *Demo) ensure(ctx context.Context, s *serve.Stack) (library, models string, err error) {
	f := fetch.Fetcher{Progress: serve.FetchProgress(s)}
	library, models = k.ONNXLibrary, k.Models
	if library == "" {
		if library, err = f.Library(ctx); err != nil {
			return "", "", err
		}
	}
	if models == "" {
		models = path.Join(s.Scratch, "models")
		if err = f.Models(ctx, models); err != nil {
			return "", "", err
		}
	}
	return library, models, nil
}

func (d *demo) run(ctx context.Context) error {
	steps := []struct {
		title string
		do    func(context.Context) error
	}{
		{"Loading " + d.listed(), d.load},
		{"", d.awaitActive},
		{"Reading pictures of text with " + fetch.OCRModel, d.read},
		{fmt.Sprintf("Sending requests to all models for %s", terminal.Duration(d.command.Duration)), d.traffic},
	}
	if d.command.Backend != onnx.Name {
		steps[2].do = nil
	}
	for _, step := range steps {
		if step.do == nil {
			continue
		}
		if step.title != "" {
			d.Line("\n" + step.title)
		}
		if err := step.do(ctx); err != nil {
			if cause := context.Cause(ctx); errors.Is(cause, serve.ErrService) {
				return cause
			}
			return err
		}
	}
	return nil
}

func (d *demo) listed() string {
	models := 0
	for _, l := range d.loads {
		models += l.copies
	}
	return cli.Count(models, "model") + " onto one GPU, through a broker on " + d.Broker.ClientURL()
}

// load loads every model, as any client would.
func (d *demo) load(ctx context.Context) error {
	if err := d.await(ctx, "a worker", func(s *protocol.StackState) bool {
		return s.Stage >= protocol.AwaitingModels && len(s.Workers) > 0
	}); err != nil {
		return err
	}
	for i, l := range d.loads {
		d.Bar("loading", i, len(d.loads), l.path)
		if _, refusal := d.Client.Load(ctx, protocol.LoadRequest{Path: l.path, Copies: &l.copies}); refusal != nil {
			return refusal
		}
	}
	d.Bar("loading", len(d.loads), len(d.loads), "done")
	return nil
}

// awaitActive waits until the countdown has ended and the models are profiled, then
// prints the profiles.
func (d *demo) awaitActive(ctx context.Context) error {
	err := d.await(ctx, "activation", func(s *protocol.StackState) bool { return s.Stage == protocol.Active && s.Epoch != 0 })
	if err != nil {
		return err
	}
	list, refusal := d.Client.Models(ctx)
	if refusal != nil {
		return refusal
	}
	d.Line("\nThe models, and how long the weight transfer and one inference take:")
	if err := ask.PrintModels(d.Progress, d.Progress.Display.Width(), list.Models); err != nil {
		return err
	}
	for _, m := range list.Models {
		if m.Quarantined != "" {
			return fmt.Errorf("%s cannot be served: %s", m.Name, m.Quarantined)
		}
	}
	return nil
}

// await polls the stack's state until reached returns true.
func (d *demo) await(ctx context.Context, what string, reached func(*protocol.StackState) bool) error {
	for {
		s, refusal := d.Client.State(ctx)
		if refusal == nil && reached(s) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
