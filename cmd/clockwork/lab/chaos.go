package lab

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

type Chaos struct {
	Fault   string `arg:"" placeholder:"FAULT" help:"What happens: kill (SIGKILL), restart (killed, and started again), pause (SIGSTOP), slow (stopped half of the time), partition (nothing gets through between it and the broker), stop (SIGTERM) or step (a worker's clock is a second ahead)."`
	Service string `arg:"" placeholder:"SERVICE" help:"Whom it befalls: nats, controller, controller-2, scheduler, scheduler-2, profiler, worker-1 and so on. Without a number it is the first, which leads."`

	For     time.Duration `default:"3s" env:"-" from:"10ms" to:"10m" help:"How long the fault lasts; a kill is for ever." group:"Fault"`
	Before  time.Duration `default:"3s" env:"-" from:"1s" to:"10m" help:"How long requests are sent before it." group:"Fault"`
	After   time.Duration `default:"8s" env:"-" from:"1s" to:"10m" help:"How long they are sent after it began." group:"Fault"`
	Rate    float64       `default:"500" env:"-" placeholder:"R/S" help:"Requests a second, sent when they are due whatever became of the others." group:"Load"`
	SLO     time.Duration `name:"slo" default:"100ms" env:"-" from:"1ms" to:"1m" help:"Their latency target." group:"Load"`
	Workers int           `default:"2" env:"-" help:"How many workers the stack has." group:"Stack"`
	GPUs    int           `name:"gpus" default:"1" env:"-" help:"Emulated GPUs of each worker." group:"Stack"`
	Model   string        `default:"zoo/resnet18_v2" env:"-" placeholder:"PATH" help:"The model that is served, by default zoo/resnet18_v2." group:"Stack"`
	Copies  int           `default:"8" env:"-" help:"As how many models it is loaded." group:"Stack"`
	Logs    bool          `env:"-" help:"Print what the service logged as well." group:"Stack"`
}

// Help describes the measurement.
func (k *Chaos) Help() string {
	return `Starts a stack of its own on this machine, as separate processes with emulated
GPUs: a broker, two controllers, two schedulers, a profiler and workers. Sends
requests from a plain NATS client at a fixed rate, has the fault befall the
service, and prints what the client saw: which requests were lost, and how long
until nine in ten of the usual share were served again.`
}

// Run starts a stack and injects the fault.
func (k *Chaos) Run(con *cli.Console) (err error) {
	fault, err := k.check()
	if err != nil {
		return err
	}
	ctx, cancel := cli.Interruptible()
	defer cancel()
	dir, err := os.MkdirTemp("", "clockwork-chaos-")
	if err != nil {
		return fmt.Errorf("make a directory for the broker: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	stack, err := chaos.Up(ctx, chaos.Config{
		Binary: self, Data: filepath.Join(dir, "nats"), Workers: k.Workers, GPUs: k.GPUs, Model: k.Model, Copies: k.Copies, LoadIdle: time.Second,
	})
	//lint:ignore SA5001 what was started before it failed is given too, and ends here
	defer stack.Close()
	if err != nil {
		return cli.Interrupted(ctx, err)
	}
	effect, service, err := k.run(ctx, stack, fault)
	if err != nil {
		return cli.Interrupted(ctx, err)
	}
	if con.JSON {
		return cli.PrintJSON(con.Out, chaosDocument{k.Fault, service.Name, k.Rate, float64(k.SLO) / 1e6, effect, named(effect.Errors)})
	}
	k.print(con.Out, service, effect)
	return nil
}

func (k *Chaos) check() (chaos.Fault, error) {
	fault, err := chaos.FaultOf(k.Fault)
	if err != nil {
		return 0, cli.Usage(err)
	}
	for _, bound := range []struct {
		flag            string
		value, from, to float64
	}{
		{"--rate", k.Rate, 1, 20_000},
		{"--workers", float64(k.Workers), 1, 64}, {"--gpus", float64(k.GPUs), 1, 16}, {"--copies", float64(k.Copies), 1, 1000},
	} {
		if !(bound.value >= bound.from && bound.value <= bound.to) {
			return 0, cli.Usagef("%s is %v; it must be from %v to %v", bound.flag, bound.value, bound.from, bound.to)
		}
	}
	return fault, nil
}

// run sends requests, injects the fault meanwhile, and sums up.
func (k *Chaos) run(ctx context.Context, stack *chaos.Stack, fault chaos.Fault) (e chaos.Effect, service *chaos.Service, err error) {
	if service, err = stack.Service(k.Service); err != nil {
		return e, nil, cli.Usage(err)
	}
	state, refusal := stack.Client.State(ctx)
	if refusal != nil {
		return e, nil, refusal
	}
	load := chaos.Load{Rate: k.Rate, SLO: k.SLO}
	for _, m := range state.Models {
		load.Models = append(load.Models, m.Name)
	}
	traffic, err := chaos.StartTraffic(stack.URL, load)
	if err != nil {
		return e, nil, err
	}
	clock.Pause(ctx, k.Before)
	began := time.Since(traffic.Began)
	inflicted := make(chan error, 1)
	go func() { inflicted <- service.Inflict(ctx, fault, k.For) }()
	clock.Pause(ctx, k.After)
	outcomes := traffic.Stop(k.SLO + time.Second)
	if err := <-inflicted; err != nil {
		return e, nil, err
	}
	return chaos.EffectOf(outcomes, k.SLO, began), service, ctx.Err()
}

// chaosDocument is the output of --json.
type chaosDocument struct {
	Fault   string  `json:"fault"`
	Service string  `json:"service"`
	Rate    float64 `json:"rate"`
	SLOMS   float64 `json:"slo_ms"`
	chaos.Effect
	Errors map[string]int `json:"errors"`
}

func named(codes map[protocol.Code]int) map[string]int {
	byName := map[string]int{}
	for code, n := range codes {
		byName[string(code)] = n
	}
	return byName
}

func (k *Chaos) print(w io.Writer, service *chaos.Service, e chaos.Effect) {
	fmt.Fprintf(w, "%s %s: %s with %s each, %s, %s requests/s, SLO %s\n\n",
		k.Fault, service.Name, cli.Count(k.Workers, "worker"), cli.Count(k.GPUs, "emulated GPU"), cli.Count(k.Copies, "model"), strconv.FormatFloat(k.Rate, 'f', -1, 64), terminal.Duration(k.SLO))
	row := func(name, value string) { fmt.Fprintf(w, "%-14s%s\n", name, value) }
	row("sent", strconv.Itoa(e.Sent))
	row("OK", fmt.Sprintf("%d; before the fault %.1f %%", e.OK, 100*e.Before))
	row("lost", fmt.Sprintf("%d since the fault", e.Lost))
	printLosses(row, e.Since())
	if early := e.Earlier.Sent - e.Earlier.OK; early > 0 {
		row("", fmt.Sprintf("and %d before it", early))
		printLosses(row, e.Earlier)
	}
	row("healed", healed(e))
	fmt.Fprintf(w, "\n%s\n", curve(e))
	if k.Logs {
		fmt.Fprintf(w, "\nWhat %s logged:\n%s", service.Name, service.Process.Log())
	}
}

// printLosses prints a row for each way in which requests of one time were lost.
func printLosses(row func(name, value string), c chaos.Counts) {
	codes := slices.SortedFunc(maps.Keys(c.Errors), func(a, b protocol.Code) int {
		return cmp.Or(cmp.Compare(c.Errors[b], c.Errors[a]), cmp.Compare(a, b))
	})
	for _, code := range codes {
		row("", fmt.Sprintf("%d x %s: %s", c.Errors[code], code, code.Row().Sentence))
	}
	for _, broken := range []struct {
		n    int
		what string
	}{
		{c.Late, "served more than 50 ms after the deadline"}, {c.LateErrors, "of the errors told as late as that"},
		{c.Unsent, "not sent, since the broker was away"}, {c.Unanswered, "never answered"}, {c.Duplicates, "answered twice"},
	} {
		if broken.n > 0 {
			row("", fmt.Sprintf("%d %s", broken.n, broken.what))
		}
	}
}

func healed(e chaos.Effect) string {
	switch {
	case !e.Healed:
		return "not within the run; see --after"
	case e.Heal == 0:
		return "at once: no tenth of a second was worse than usual"
	}
	return fmt.Sprintf("%.1f s after the fault", e.Heal.Seconds())
}

var levels = []rune("▁▂▃▄▅▆▇█")

// curve draws the share of requests served: a column per tenth of a second, and 50
// columns per line.
func curve(e chaos.Effect) string {
	var out strings.Builder
	out.WriteString("Share served, for each tenth of a second in which requests were sent:\n")
	for i, p := range e.Curve {
		if at := p.At / (100 * time.Millisecond); i == 0 || at%50 == 0 {
			if i > 0 {
				out.WriteByte('\n')
			}
			fmt.Fprintf(&out, "%+6.1f s  ", p.At.Seconds())
		}
		switch share := float64(p.OK) / float64(p.Sent); {
		case share == 0:
			out.WriteByte('.')
		default:
			out.WriteRune(levels[min(len(levels)-1, int(share*float64(len(levels))))])
		}
	}
	return out.String()
}
