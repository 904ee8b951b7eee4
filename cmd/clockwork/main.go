// Command clockwork is all of Clockwork in one binary: the services, a broker, and the
// commands that people use on a running stack.
package main

import (
	"os"

	"clockwork/cmd/clockwork/cli"
	"clockwork/cmd/clockwork/lab"
)

// commandLine is the grammar.
type commandLine struct {
	cli.Flags

	Up         upCommand          `cmd:"" help:"Run the whole stack in this process, with a broker of its own."`
	Demo       lab.Demo           `cmd:"" help:"Show the whole stack at work: load, profile, infer, and a table of what came back."`
	Fetch      fetchCommand       `cmd:"" help:"Fetch the pinned ONNX Runtime library and a trained model by npm."`
	Controller controllerCommand  `cmd:"" help:"Run a controller: startup phase, state and front door."`
	Frontdoor  frontDoorCommand   `cmd:"" name:"frontdoor" help:"Run a front door alone: takes requests and answers them."`
	Gateway    gatewayCommand     `cmd:"" help:"Run a gateway: a front door that hears HTTP (Open Inference Protocol)."`
	Profiler   profilerCommand    `cmd:"" help:"Run a profiler: measures every model on every type of GPU."`
	Scheduler  schedulerCommand   `cmd:"" help:"Run a scheduler: makes every decision after activation."`
	Worker     workerCommand      `cmd:"" help:"Run a worker: executes models on this host's GPUs."`
	Broker     brokerCommand      `cmd:"" name:"nats" help:"Run a NATS server with the settings Clockwork relies on."`
	Keys       keysCommand        `cmd:"" help:"Make the keys of a broker with roles, and its configuration."`
	Token      tokenCommand       `cmd:"" help:"Make a token for a client of gateways, and the line of the file that stands for it."`
	Init       initCommand        `cmd:"" help:"Make the streams and buckets of a stack, as the operator of a broker with roles."`
	Health     healthcheckCommand `cmd:"" name:"healthcheck" help:"Say whether a service on this host is well, by exit code 0 or 1."`
	Load       loadCommand        `cmd:"" help:"Load a model from disk on every worker."`
	Ls         lsCommand          `cmd:"" help:"List the loaded models."`
	State      stateCommand       `cmd:"" help:"Show stage, workers and GPUs."`
	Top        topCommand         `cmd:"" help:"Watch workers, GPUs and models of a running stack, live."`
	Infer      inferCommand       `cmd:"" help:"Send requests to a model and print what comes back."`
	Zoo        zooCommand         `cmd:"" help:"List the emulated models, with their sizes and times."`
	Bench      lab.Bench          `cmd:"" help:"Send a workload to a stack and measure what its users see."`
	Sim        lab.Sim            `cmd:"" help:"Simulate a workload, or rerun the paper's experiments."`
	Profiles   lab.Profiles       `cmd:"" help:"Export what a stack was measured to do."`
	Replay     lab.Replay         `cmd:"" help:"Run a recording through the service that made it again; say what another policy would have done."`
	Explain    lab.Explain        `cmd:"" help:"Say why requests of the running stack, or of a recording, were refused or late, and what would have saved them."`
	Chaos      lab.Chaos          `cmd:"" help:"Break a service of a stack of its own under load, and measure what users see."`
	Version    versionCommand     `cmd:"" help:"Print the version, the commit and what it was built with."`
	Help       helpCommand        `cmd:"" help:"Explain a command, as COMMAND --help does."`
	CheckModel checkModelCommand  `cmd:"" hidden:"" help:"Check a model file; used by the worker on files it does not trust."`
	Execute    executeCommand     `cmd:"" name:"execute-models" hidden:"" help:"Execute models for the worker that starts this."`
}

const description = `Serves many DNN models on few GPUs within latency targets.

Start with: clockwork demo, or clockwork up.

Flags can be set by the variable that stands behind them, as in $CLOCKWORK_LOAD_IDLE; the flag wins. Exit codes: 0 done, 1 it failed, 2 wrong usage.`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr *os.File) int {
	var c commandLine
	return cli.Run(&c, &c.Flags, description, args, stdout, stderr)
}
