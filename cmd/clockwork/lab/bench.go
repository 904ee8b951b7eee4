package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"clockwork/cmd/clockwork/ask"
	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/protocol"
)

type Bench struct {
	workloadFlags

	Warmup      *time.Duration `env:"-" placeholder:"TIME" group:"Run" from:"0s" to:"672h" help:"The part at the begin that is sent and not measured, by default 2s, at most a tenth of the length."`
	Connections int            `default:"2" env:"-" group:"Run" help:"Connections to the broker, which take turns."`
	Payload     string         `enum:",generated,random" default:"" env:"-" placeholder:"KIND" group:"Run" help:"What requests bring: nothing (generated, the default), for which workers need --generate-inputs, or made-up inputs of the right shape (random)."`
	Input       string         `type:"existingfile" env:"-" placeholder:"FILE" group:"Run" help:"Every request brings this: a JSON or msgpack request, or raw little-endian bytes: all items of the first input, then all of the next."`
	Load        bool           `env:"-" group:"Run" help:"Load the models that the stack lacks, and wait until it is active."`
	Up          bool           `env:"-" group:"Run" help:"Run a stack of its own in this process, with emulated GPUs, and load the models there."`
	GPUs        *int           `name:"gpus" env:"-" placeholder:"N" group:"Run" help:"How many GPUs the stack of --up has, by default 1."`

	HDR        string  `name:"hdr" type:"path" env:"-" placeholder:"FILE" group:"Result" help:"Write the latencies there as well, in HdrHistogram's percentile format (.hgrm), in milliseconds."`
	Report     string  `type:"path" env:"-" placeholder:"FILE" group:"Result" help:"Write a page of figures there as well, for a browser."`
	Compare    string  `type:"existingfile" env:"-" placeholder:"FILE" group:"Result" help:"Print each figure by that of an earlier run, of which FILE is what --json printed."`
	Unlike     bool    `env:"-" group:"Result" help:"Compare runs of different workloads too; their differences stand above the ratios."`
	RequireSLO float64 `name:"require-slo" env:"-" placeholder:"PERCENT" group:"Result" help:"Exit with 1 if less of the requests than this is in SLO."`
	CPUProfile string  `name:"cpuprofile" type:"path" env:"-" placeholder:"FILE" hidden:"" help:"Write a CPU profile of this process there."`
}

// Help lists the workloads.
func (k *Bench) Help() string {
	return `Sends a workload to a stack, each request when it is due whatever became of the
others, and measures latency from then on: a late answer delays nothing that
comes after it, and a late sender makes no answer look early. The workloads:

` + helpWorkloads() + `
For example, 15 models at 2,000 requests a second, on a stack of its own:

  clockwork bench poisson --copies 15 --rate 2000 --up --gpus 4`
}

// benchPatience bounds how long --load and --up wait for a stack to become active.
const benchPatience = 10 * time.Minute

// Run sends the workload and prints the result.
func (k *Bench) Run(c *cli.Flags, con *cli.Console) error {
	if err := k.check(); err != nil {
		return err
	}
	before, err := k.before()
	if err != nil {
		return err
	}
	ctx, cancel := cli.Interruptible()
	defer cancel()
	serve.TuneCollector()
	target, err := k.open(ctx, c, con)
	if err != nil {
		return cli.Interrupted(ctx, err)
	}
	r, notes, err := k.measure(ctx, con, target)
	if err = errors.Join(cli.Interrupted(ctx, err), target.close()); err != nil {
		return err
	}
	return k.tell(con, benchResult{r, notes, before})
}

// benchTarget is the measured stack.
type benchTarget struct {
	*client.Client
	// own is the stack of --up.
	own     *serve.Stack
	connect func() (*client.Client, error)
	// prefix begins commands for this stack.
	prefix string
}

func (t *benchTarget) close() error {
	if t.own != nil {
		return t.own.Close()
	}
	t.Close()
	return nil
}

// noBuffer makes requests fail at once while the broker is unreachable, instead of being
// sent after their deadline.
var noBuffer = nats.ReconnectBufSize(-1)

// open connects to the stack of the flags, or starts one.
func (k *Bench) open(ctx context.Context, c *cli.Flags, con *cli.Console) (*benchTarget, error) {
	if k.Up {
		return k.openOwn(ctx, c, con)
	}
	stack, err := c.Connect()
	if err != nil {
		return nil, err
	}
	options, err := c.Options()
	if err != nil {
		return nil, err
	}
	return &benchTarget{
		Client: stack, prefix: commandFor(c),
		connect: func() (*client.Client, error) { return client.Connect(c.NATS, c.Prefix, append(options, noBuffer)...) },
	}, nil
}

// commandFor returns the beginning of commands for the same stack.
func commandFor(c *cli.Flags) string {
	command := "clockwork"
	if c.NATS != nats.DefaultURL {
		command += " --nats " + bus.Redacted(c.NATS)
	}
	if c.Prefix != protocol.DefaultPrefix {
		command += " --prefix " + c.Prefix
	}
	return command
}

// measure prepares the stack and runs the workload. A run interrupted after its start
// still counts as a run.
func (k *Bench) measure(ctx context.Context, con *cli.Console, target *benchTarget) (*bench.Report, []string, error) {
	made, models, err := k.ready(ctx, con, target)
	if err != nil {
		return nil, nil, err
	}
	config := bench.Config{
		Workload: made.workload, Models: models, DefaultSLO: defaultSLO, Warmup: k.warmup(made.workload.Length),
		Window: window(made.workload.Length), Grace: benchGrace, Patience: benchDrain, Payload: k.payload(ctx, target.Client),
	}
	for range k.Connections {
		connection, err := target.connect()
		if err != nil {
			return nil, nil, protocol.Errorf(protocol.StateUnavailable, "%v", err)
		}
		defer connection.Close()
		config.Lines = append(config.Lines, bench.Lines(connection)...)
	}
	stop, err := k.profile()
	if err != nil {
		return nil, nil, err
	}
	defer stop()
	progress := newBenchProgress(con, target.own)
	r, err := bench.Run(ctx, config, progress.show)
	if err != nil {
		return nil, nil, err
	}
	if !r.Interrupted {
		progress.end()
	}
	r.Setting = k.setting(made)
	return r, made.notes, nil
}

const (
	// defaultSLO is the SLO if the workload has none.
	defaultSLO = 100 * time.Millisecond
	// benchGrace is how long after its SLO an answer still counts, benchDrain the
	// longest wait for answers at the end of a run.
	benchGrace = time.Second
	benchDrain = 10 * time.Second
)

// warmup returns the flag's value, or a default for the length.
func (k *Bench) warmup(length time.Duration) time.Duration {
	if k.Warmup != nil {
		return *k.Warmup
	}
	return min(2*time.Second, length/10)
}

// setting returns what was run, for comparison with a later run.
func (k *Bench) setting(m made) bench.Setting {
	s := bench.Setting{
		Workload: m.workload.Name, Seed: k.Seed, Length: m.workload.Length, Warmup: k.warmup(m.workload.Length),
		Payload: k.inputs(), Connections: k.Connections,
	}
	for _, l := range m.workload.Loads {
		text := l.Path
		if l.Copies > 1 {
			text += fmt.Sprintf(" x %d", l.Copies)
		}
		s.Loads = append(s.Loads, text)
	}
	if k.Trace != "" {
		s.Options = append(s.Options, bench.Option{Name: "trace", Value: filepath.Base(k.Trace)})
	}
	if k.Rate != nil {
		s.Options = append(s.Options, bench.Option{Name: "rate", Value: fmt.Sprintf("%g r/s", *k.Rate)})
	}
	if k.Clients != nil {
		s.Options = append(s.Options, bench.Option{Name: "clients", Value: fmt.Sprint(*k.Clients)})
	}
	if k.SLO != nil {
		s.Options = append(s.Options, bench.Option{Name: "SLO", Value: k.SLO.String()})
	}
	if k.Up {
		s.Options = append(s.Options, bench.Option{Name: "GPUs", Value: fmt.Sprint(max(1, or0(k.GPUs)))})
	}
	return s
}

// generated: workers generate the inputs.
const generated = "generated"

// inputs names the requests' inputs in one word.
func (k *Bench) inputs() string {
	if k.Input != "" {
		return filepath.Base(k.Input)
	}
	return cmp.Or(k.Payload, generated)
}

// profile starts a CPU profile, if the flag is set.
func (k *Bench) profile() (stop func(), err error) {
	if k.CPUProfile == "" {
		return func() {}, nil
	}
	file, err := os.Create(k.CPUProfile)
	if err != nil {
		return nil, cli.Usage(err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), file.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = file.Close() }, nil
}

// payload returns the requests' inputs.
func (k *Bench) payload(ctx context.Context, stack *client.Client) bench.Payload {
	switch {
	case k.Input != "":
		return bench.Given(func(m protocol.ModelState) ([]protocol.Tensor, error) {
			request, err := ask.ReadRequest(ctx, stack, m.Name, k.Input)
			if err != nil {
				return nil, err
			}
			return request.Inputs, nil
		})
	case k.Payload == "random":
		return bench.Random()
	}
	return bench.Generated()
}

// checkInputs refuses a stack whose workers do not generate inputs, if they need to.
func (k *Bench) checkInputs(state *protocol.StackState) error {
	if k.inputs() != generated {
		return nil
	}
	for _, w := range state.Workers {
		if !w.GenerateInputs {
			return protocol.Errorf(protocol.InvalidInput,
				"worker %s makes no inputs: start workers with --generate-inputs, or send some with --payload random or --input FILE", w.ID)
		}
	}
	return nil
}

// check refuses flags that are invalid for any stack.
func (k *Bench) check() error {
	if err := k.checkWorkload("bench"); err != nil {
		return err
	}
	if err := k.checkTaken(); err != nil {
		return err
	}
	if err := checkNumbers([]numberRange{{"connections", &k.Connections, 1, 256}, {"gpus", k.GPUs, 1, maxWorkerGPUs}}); err != nil {
		return err
	}
	switch {
	case k.GPUs != nil && !k.Up:
		return cli.Usagef("--gpus is for the stack of --up; another stack has the GPUs that it has")
	case k.Input != "" && k.Payload != "":
		return cli.Usagef("--payload and --input both say what requests bring")
	case k.Up && k.Load:
		return cli.Usagef("--up loads its models itself: leave --load out")
	case k.Unlike && k.Compare == "":
		return cli.Usagef("--unlike is about --compare")
	case !(k.RequireSLO >= 0 && k.RequireSLO <= 100):
		return cli.Usagef("--require-slo is %v; it must be from 0 to 100, in percent", k.RequireSLO)
	}
	for _, file := range []struct{ flag, path string }{{"report", k.Report}, {"hdr", k.HDR}} {
		if err := canWrite(file.flag, file.path); err != nil {
			return err
		}
	}
	m, err := k.make(max(1, or0(k.GPUs)))
	if err != nil {
		return err
	}
	if length, warmup := m.workload.Length, k.warmup(m.workload.Length); warmup >= length {
		return cli.Usagef("--warmup is %v of %v: nothing is left to measure", warmup, length)
	}
	return nil
}

// AfterApply is called by the parser.
func (k *Bench) AfterApply(parsed *kong.Context) error { return noEmptyValue(parsed) }
