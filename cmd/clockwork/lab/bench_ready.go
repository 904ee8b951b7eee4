package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/serve"
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

// openOwn starts a stack in this process, with a broker to which the benchmark connects
// as if from another process.
func (k *Bench) openOwn(ctx context.Context, c *cli.Flags, con *cli.Console) (*benchTarget, error) {
	flags, err := k.ownFlags()
	if err != nil {
		return nil, err
	}
	parts, err := flags.Parts(nil, nil, con.Log)
	if err != nil {
		return nil, err
	}
	s, err := serve.OpenStack(c, k.quiet(c, con), "127.0.0.1:0", "", serve.OpenFlag{})
	if err != nil {
		return nil, err
	}
	s.Progress.Post(func() { s.Progress.Counted = true })
	if err := s.Start(c, con, parts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	url := s.Broker.ClientURL()
	return &benchTarget{
		Client: s.Client, own: s, prefix: "clockwork",
		connect: func() (*client.Client, error) { return client.Connect(url, c.Prefix, noBuffer) },
	}, nil
}

// quiet makes the services log only warnings and errors, and keeps the standard output
// for the result if it is not a terminal.
func (k *Bench) quiet(c *cli.Flags, con *cli.Console) *cli.Console {
	if c.LogLevel == "auto" {
		con.Log = con.LogAt(slog.LevelWarn)
	}
	if con.TTY {
		return con
	}
	other := *con
	other.Display = terminal.New(con.Err, false, nil)
	return &other
}

// ownFlags returns the flags of clockwork up for the stack of --up, with defaults for
// the rest.
func (k *Bench) ownFlags() (*serve.StackFlags, error) {
	args := []string{"--load-idle=1s", fmt.Sprintf("--gpus=%d", max(1, or0(k.GPUs)))}
	if k.inputs() == generated {
		args = append(args, "--generate-inputs")
	}
	var f serve.StackFlags
	parser, err := kong.New(&f, kong.DefaultEnvars("CLOCKWORK"))
	if err == nil {
		_, err = parser.Parse(args)
	}
	return &f, cli.Usage(err)
}

// ready builds the workload for the target stack, finds its models there, and loads
// missing ones if a flag says so.
func (k *Bench) ready(ctx context.Context, con *cli.Console, target *benchTarget) (m made, models []protocol.ModelState, err error) {
	if k.Up || k.Load {
		if err := await(ctx, target, "a worker", func(s *protocol.StackState) bool {
			return s.Stage >= protocol.AwaitingModels && len(s.Workers) > 0
		}); err != nil {
			return m, nil, err
		}
	}
	state, refusal := target.State(ctx)
	if refusal != nil {
		return m, nil, refusal
	}
	if err := k.checkInputs(state); err != nil {
		return m, nil, err
	}
	if m, err = k.make(gpusOf(state)); err != nil {
		return m, nil, err
	}
	if _, missing := bench.Match(m.workload, state.Models); len(missing) > 0 {
		if err := k.load(ctx, con, target, state, missing); err != nil {
			return m, nil, err
		}
	}
	if k.Up || k.Load {
		if err := await(ctx, target, "activation", active); err != nil {
			return m, nil, err
		}
	}
	if state, refusal = target.State(ctx); refusal != nil {
		return m, nil, refusal
	}
	if !active(state) {
		return m, nil, notActive(state, target.prefix)
	}
	models, missing := bench.Match(m.workload, state.Models)
	if len(missing) > 0 {
		return m, nil, lacking(state, missing, target.prefix)
	}
	return m, models, nil
}

func active(s *protocol.StackState) bool { return s.Stage == protocol.Active && s.Epoch != 0 }

func gpusOf(s *protocol.StackState) (n int) {
	for _, w := range s.Workers {
		n += len(w.GPUs)
	}
	return max(1, n)
}

// load loads the missing models, if that is allowed.
func (k *Bench) load(ctx context.Context, con *cli.Console, target *benchTarget, state *protocol.StackState, missing []bench.Missing) error {
	if !k.Up && !k.Load || state.Stage > protocol.Loading {
		return lacking(state, missing, target.prefix)
	}
	for _, m := range missing {
		if _, refusal := target.Load(ctx, protocol.LoadRequest{Path: m.Path, Name: m.Name, Copies: &m.Copies}); refusal != nil {
			return refusal
		}
	}
	return nil
}

// shownLoads is how many load commands an error shows.
const shownLoads = 10

// lacking returns an error that says which models are missing, and how to load them.
func lacking(state *protocol.StackState, missing []bench.Missing, prefix string) error {
	var out strings.Builder
	first := missing[0]
	fmt.Fprintf(&out, "the stack serves %d of %s of %s", first.Have, copies(first.Copies), first.Path)
	if len(missing) > 1 {
		fmt.Fprintf(&out, ", and lacks %s more", cli.Count(len(missing)-1, "model"))
	}
	if first.Quarantined != "" {
		fmt.Fprintf(&out, " (%s)", first.Quarantined)
	}
	out.WriteString(".\n")
	if state.Stage > protocol.Loading {
		out.WriteString("Loading is closed: stop the stack, remove its --data directory, start it, and load:\n")
	} else {
		out.WriteString("Load, or run this again with --load:\n")
	}
	for _, m := range missing[:min(shownLoads, len(missing))] {
		fmt.Fprintf(&out, "  %s %s\n", prefix, m.Command())
	}
	if rest := len(missing) - shownLoads; rest > 0 {
		fmt.Fprintf(&out, "  and %d more\n", rest)
	}
	return protocol.Errorf(protocol.UnknownModel, "%s", strings.TrimSuffix(out.String(), "\n"))
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return fmt.Sprintf("%d copies", n)
}

func notActive(state *protocol.StackState, prefix string) error {
	if state.Stage == protocol.Active {
		return protocol.Errorf(protocol.SchedulerLost, "the stack is ACTIVE, but no scheduler is active: nothing is served")
	}
	return protocol.Errorf(protocol.StateUnavailable, "the stack is %s and serves once it is ACTIVE; %s state says what it waits for, --load waits",
		state.Stage, prefix)
}

// await polls the stack's state until reached returns true.
func await(ctx context.Context, target *benchTarget, what string, reached func(*protocol.StackState) bool) error {
	for end := time.Now().Add(benchPatience); ; {
		state, refusal := target.State(ctx)
		if refusal == nil && reached(state) {
			return nil
		}
		if !clock.Pause(ctx, 100*time.Millisecond) || time.Now().After(end) {
			return fmt.Errorf("wait for %s: not within %v", what, benchPatience)
		}
	}
}
