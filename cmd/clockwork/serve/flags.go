package serve

import (
	"log/slog"
	"time"

	"go.uber.org/fx"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/watch"
	"clockwork/services/controller"
	"clockwork/services/frontdoor"
	"clockwork/services/profiler"
	"clockwork/services/scheduler"
)

// FrontDoorFlags are a front door's flags; controller and up have them too.
type FrontDoorFlags struct {
	BufferTimeout time.Duration `default:"10s" from:"10ms" to:"24h" help:"How long requests that come before activation may wait." group:"Front door"`
	RequestFlags
}

// RequestFlags are the flags of whatever takes requests.
type RequestFlags struct {
	DefaultSLO time.Duration `name:"default-slo" default:"100ms" from:"100us" to:"1h" help:"Latency target of requests that name none." group:"Front door"`
	Limits     string        `placeholder:"FILE" help:"YAML file of what clients and models may have of a front door: requests and bytes in flight, and a rate." group:"Front door"`
}

func (f FrontDoorFlags) Config() (frontdoor.Config, error) {
	c := frontdoor.DefaultConfig()
	c.BufferTimeout = f.BufferTimeout
	return f.Apply(c)
}

// Apply returns the configuration of a front door as the flags change it.
func (f RequestFlags) Apply(c frontdoor.Config) (frontdoor.Config, error) {
	c.DefaultSLO = f.DefaultSLO
	var err error
	if c.Limits, err = readLimits(f.Limits, c.Limits); err != nil {
		return c, err
	}
	return c, cli.Usage(c.Validate())
}

// ControllerFlags are the controller's flags; up has them too.
type ControllerFlags struct {
	FrontDoorFlags
	LoadIdle    time.Duration `default:"10s" from:"100ms" to:"24h" help:"Loading ends when no load was asked for or pending for this long." group:"Controller"`
	LoadTimeout time.Duration `default:"60s" from:"1s" to:"24h" help:"How long the workers may take for one load." group:"Controller"`
	MaxBatch    int           `default:"16" help:"Largest batch size to load models with, 0 for no bound." group:"Controller"`
}

func (f ControllerFlags) Config() (controller.Config, error) {
	c := controller.DefaultConfig()
	var err error
	if c.Config, err = f.FrontDoorFlags.Config(); err != nil {
		return c, err
	}
	c.LoadIdle, c.LoadTimeout, c.MaxBatch = f.LoadIdle, f.LoadTimeout, f.MaxBatch
	return c, cli.Usage(c.Validate())
}

type ProfilerFlags struct {
	Iterations int `name:"profile-iterations" default:"10" help:"How often each action is measured." group:"Profiler"`
}

func (f ProfilerFlags) Config() (profiler.Config, error) {
	c := profiler.DefaultConfig()
	c.Iterations = f.Iterations
	if err := c.Validate(); err != nil {
		return c, cli.Usagef("--profile-%v", err)
	}
	return c, nil
}

type SchedulerFlags struct {
	Policy           string        `default:"clockwork" enum:"clockwork,faithful,simple,echo" help:"Scheduling policy. The others are for comparison: faithful (the original's choices), simple (no batches), echo (answers at once, runs nothing). clockwork sim knows more." group:"Scheduler"`
	QuarantineAfter  int           `default:"3" help:"How many of a model's executions may end or hang what executes them within --quarantine-window before the model is refused for --quarantine-for; 0 is never." group:"Scheduler"`
	QuarantineWindow time.Duration `default:"10m" from:"1s" to:"24h" help:"For how long such an execution counts." group:"Scheduler"`
	QuarantineFor    time.Duration `default:"1m" from:"100ms" to:"24h" help:"For how long a quarantined model is refused; one more such execution within the window quarantines it again." group:"Scheduler"`

	Record string `placeholder:"FILE" help:"Record what the scheduler is given into FILE, for clockwork replay and clockwork explain." group:"Scheduler"`
}

// Module returns the scheduler that the flags describe, with a recorder if the flag is
// set.
func (f SchedulerFlags) Module(hub *watch.Hub, log *slog.Logger) (fx.Option, error) {
	c := scheduler.DefaultConfig()
	c.Policy, c.Telemetry = f.Policy, hub
	c.Core.QuarantineAfter, c.Core.QuarantineWindow, c.Core.QuarantineFor = f.QuarantineAfter, f.QuarantineWindow, f.QuarantineFor
	if err := c.Core.Validate(); err != nil {
		return nil, cli.Usage(err)
	}
	if f.Record == "" {
		return fx.Options(fx.Supply(c), scheduler.Module), nil
	}
	file, err := cli.CreateRecord("--record", f.Record)
	if err != nil {
		return nil, err
	}
	to, err := recorder.New(f.Record, file, log)
	if err != nil {
		return nil, err
	}
	c.Observers = sched.TermObservers{to}
	// Registered before the scheduler's hooks, so that the recording is closed after the
	// scheduler has stopped.
	closing := fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.StopHook(to.Close))
	})
	return fx.Options(closing, fx.Supply(c), scheduler.Module), nil
}

// BrokerFlags are for services that use an external broker.
type BrokerFlags struct {
	Replicas int `default:"0" help:"How many of the broker's servers keep the state; 0 is three where it is a cluster, else one." group:"Broker"`
}

// Reach returns the configuration of the services' connection to the broker.
func (f BrokerFlags) Reach(c *cli.Flags, con *cli.Console) (fx.Option, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	config, err := c.BusConfig(con, f.Replicas)
	if err != nil {
		return nil, err
	}
	return fx.Supply(config), nil
}

func (f BrokerFlags) Check() error {
	if f.Replicas < 0 || f.Replicas > maxReplicas {
		return cli.Usagef("--replicas is %d; it must be from 0 to %d", f.Replicas, maxReplicas)
	}
	return nil
}

// maxReplicas is JetStream's own limit.
const maxReplicas = 5
