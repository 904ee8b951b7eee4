// Command clockwork is the whole of Clockwork in one binary: the services, a
// broker, and the commands that people use on a running stack.
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"clockwork/pkg/protocol"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// cli is the command line. Flags win over CLOCKWORK_* variables.
type cli struct {
	NATS     string `name:"nats" env:"NATS_URL" default:"nats://127.0.0.1:4222" help:"Where the broker is." placeholder:"URL"`
	Prefix   string `default:"clockwork" help:"First token of all subjects; several stacks share a broker by it."`
	LogLevel string `enum:"debug,info,warn,error" default:"${loglevel}" help:"What to log: debug, info, warn or error."`
	JSON     bool   `name:"json" help:"Print JSON for programs."`

	Up         upCommand         `cmd:"" help:"Run the whole stack in this process, with a broker of its own."`
	Demo       demoCommand       `cmd:"" help:"Show the whole stack at work: load, profile, infer, and a table of what came back."`
	Controller controllerCommand `cmd:"" help:"Run a controller: startup phase, state and front door."`
	Profiler   profilerCommand   `cmd:"" help:"Run a profiler: measures every model on every type of GPU."`
	Scheduler  schedulerCommand  `cmd:"" help:"Run a scheduler: makes every decision after activation."`
	Worker     workerCommand     `cmd:"" help:"Run a worker: executes models on this host's GPUs."`
	Broker     brokerCommand     `cmd:"" name:"nats" help:"Run a NATS server with the settings Clockwork relies on."`
	Load       loadCommand       `cmd:"" help:"Load a model from disk on every worker."`
	Ls         lsCommand         `cmd:"" help:"List the loaded models."`
	State      stateCommand      `cmd:"" help:"Show stage, workers, GPUs and models."`
	Infer      inferCommand      `cmd:"" help:"Send requests to a model and print what comes back."`
	CheckModel checkModelCommand `cmd:"" hidden:"" help:"Check a model file; used by the worker on files it does not trust."`
}

// console is where a command prints.
type console struct {
	out, err io.Writer
	tty      bool
	log      *slog.Logger
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr *os.File) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("clockwork"),
		kong.Description("Serves many DNN models on few GPUs within latency targets."),
		kong.DefaultEnvars("CLOCKWORK"),
		kong.Vars{"loglevel": "info"},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
	)
	if err != nil {
		panic(err) // the grammar above is wrong
	}
	context, err := parser.Parse(args)
	if exited >= 0 { // --help was printed
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "clockwork: %v\n", err)
		return exitUsage
	}
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(c.LogLevel)) // the enum was checked
	con := &console{
		out: stdout,
		err: stderr,
		tty: term.IsTerminal(int(stdout.Fd())),
		log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
	}
	if err := context.Run(&c, con); err != nil {
		return report(stderr, err)
	}
	return 0
}

// report prints an error as a person wants it, and returns the exit code.
func report(w io.Writer, err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(w, "clockwork: %v\n", err)
		return exitUsage
	}
	var refused *protocol.Error
	if errors.As(err, &refused) {
		fmt.Fprintf(w, "%s: %s\n", refused.Code, refused.Message)
		for _, worker := range refused.Workers {
			fmt.Fprintf(w, "  %s: %s: %s\n", worker.Worker, worker.Code, worker.Message)
		}
		return exitFailed
	}
	fmt.Fprintf(w, "clockwork: %v\n", err)
	return exitFailed
}

// usageError is a wrong flag or argument that the grammar cannot see.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }
