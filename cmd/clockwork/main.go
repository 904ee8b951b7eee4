// Command clockwork is the whole of Clockwork in one binary: the services, a
// broker, and the commands that people use on a running stack.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"clockwork/pkg/watch/terminal"
)

// cli is the command line. Flags win over CLOCKWORK_* variables.
type cli struct {
	NATS   string `name:"nats" env:"CLOCKWORK_NATS,NATS_URL" default:"nats://127.0.0.1:4222" placeholder:"URL" help:"Where the broker is, by default nats://127.0.0.1:4222; up, demo and nats have their own."`
	Prefix string `default:"clockwork" help:"First token of all subjects; several stacks share a broker by it."`
	logFlags
	credentialFlags
	JSON bool `name:"json" help:"Print JSON for programs on the standard output; a failure is {\"error\": {...}} there, and still exit code 1 or 2."`

	Up         upCommand          `cmd:"" help:"Run the whole stack in this process, with a broker of its own."`
	Demo       demoCommand        `cmd:"" help:"Show the whole stack at work: load, profile, infer, and a table of what came back."`
	Fetch      fetchCommand       `cmd:"" help:"Fetch the pinned ONNX Runtime library and a trained model by npm."`
	Controller controllerCommand  `cmd:"" help:"Run a controller: startup phase, state and front door."`
	Frontdoor  frontDoorCommand   `cmd:"" name:"frontdoor" help:"Run a front door alone: takes requests and answers them."`
	Profiler   profilerCommand    `cmd:"" help:"Run a profiler: measures every model on every type of GPU."`
	Scheduler  schedulerCommand   `cmd:"" help:"Run a scheduler: makes every decision after activation."`
	Worker     workerCommand      `cmd:"" help:"Run a worker: executes models on this host's GPUs."`
	Broker     brokerCommand      `cmd:"" name:"nats" help:"Run a NATS server with the settings Clockwork relies on."`
	Keys       keysCommand        `cmd:"" help:"Make the keys of a broker with roles, and its configuration."`
	Init       initCommand        `cmd:"" help:"Make the streams and buckets of a stack, as the operator of a broker with roles."`
	Health     healthcheckCommand `cmd:"" name:"healthcheck" help:"Say whether a service on this host is well, by exit code 0 or 1."`
	Load       loadCommand        `cmd:"" help:"Load a model from disk on every worker."`
	Ls         lsCommand          `cmd:"" help:"List the loaded models."`
	State      stateCommand       `cmd:"" help:"Show stage, workers and GPUs."`
	Top        topCommand         `cmd:"" help:"Watch workers, GPUs and models of a running stack, live."`
	Infer      inferCommand       `cmd:"" help:"Send requests to a model and print what comes back."`
	Bench      benchCommand       `cmd:"" help:"Send a workload to a stack and measure what its users see."`
	Sim        simCommand         `cmd:"" help:"Simulate a workload, or rerun the paper's experiments."`
	Replay     replayCommand      `cmd:"" help:"Run a recording through the scheduler again; say what another policy would have done."`
	Explain    explainCommand     `cmd:"" help:"Say why requests of the running stack, or of a recording, were refused or late, and what would have saved them."`
	Chaos      chaosCommand       `cmd:"" help:"Break a service of a stack of its own under load, and measure what users see."`
	CheckModel checkModelCommand  `cmd:"" hidden:"" help:"Check a model file; used by the worker on files it does not trust."`
}

const description = `Serves many DNN models on few GPUs within latency targets.

Start with: clockwork demo, or clockwork up.

Flags can be set by the variable that stands behind them, as in $CLOCKWORK_LOAD_IDLE; the flag wins. Exit codes: 0 done, 1 it failed, 2 wrong usage.`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr *os.File) int {
	var c cli
	exited := -1
	parser := newParser(&c, stdout, stderr, func(code int) { exited = code })
	parsed, err := parser.Parse(joinNegatives(args))
	if exited >= 0 { // --help was printed
		return exited
	}
	// What was parsed before a fault tells how to print it.
	con := &console{out: stdout, err: stderr, json: c.JSON}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return con.explain(wrongUsage(err))
	}
	con.tty = term.IsTerminal(int(stdout.Fd())) && !c.JSON
	con.display = terminal.OnFile(stdout)
	con.screen = &screen{log: stderr, shared: con.tty && term.IsTerminal(int(stderr.Fd()))}
	con.format = c.format(stderr)
	con.log = con.logAt(c.level(parsed.Command()))
	if err := parsed.Run(&c, con); err != nil {
		return con.explain(err)
	}
	return 0
}

func newParser(c *cli, stdout, stderr *os.File, exit func(int)) *kong.Kong {
	parser, err := kong.New(c,
		kong.Name("clockwork"),
		kong.Description(description),
		kong.DefaultEnvars("CLOCKWORK"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(stdout, stderr),
		kong.Exit(exit),
	)
	if err != nil {
		panic(err) // the grammar above is wrong
	}
	return parser
}

// joinNegatives makes --slo=-5ms of --slo -5ms, so that a negative number is
// refused with its bound, and not as an unknown flag -5. No flag begins with a
// digit.
func joinNegatives(args []string) []string {
	var joined []string
	for _, arg := range args {
		last := len(joined) - 1
		negative := len(arg) > 1 && arg[0] == '-' && strings.ContainsRune(".0123456789", rune(arg[1]))
		if negative && last >= 0 && strings.HasPrefix(joined[last], "--") && !strings.Contains(joined[last], "=") {
			joined[last] += "=" + arg
			continue
		}
		joined = append(joined, arg)
	}
	return joined
}

// check refuses what the grammar cannot see.
func (c *cli) check() error {
	if !validPrefix(c.Prefix) {
		return usageError{fmt.Sprintf("--prefix %q is not made of [a-z0-9_-], with dots between", c.Prefix)}
	}
	return nil
}
