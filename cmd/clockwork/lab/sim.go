package lab

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
)

type Sim struct {
	Policy   []string       `env:"-" placeholder:"NAME" help:"The policies to compare: aimd, clockwork, deferred, faithful, fifo, simple. By default clockwork, and all of them where a section of the paper is rerun."`
	HTML     string         `name:"html" type:"path" env:"-" placeholder:"FILE" help:"Write a page of figures there as well, for a browser."`
	Timeline *time.Duration `placeholder:"TIME" env:"-" from:"0s" to:"10s" help:"How much of the beginning the page shows action by action, by default 300ms; with --html."`
	Peak     bool           `env:"-" help:"Search for the highest rate with 99 % of the requests in their SLO, for each policy and for faithful."`

	workloadFlags

	GPUs     *int            `name:"gpus" env:"-" placeholder:"N" group:"Stack" help:"GPUs of each worker, by default the paper's number for its sections, else 1."`
	Workers  int             `default:"1" env:"-" group:"Stack" help:"How many workers there are."`
	Pages    int             `default:"1376" env:"-" group:"Stack" help:"Pages of 16 MiB that a GPU has for weights."`
	Resident bool            `env:"-" group:"Stack" help:"Begin with the weights on every GPU, as far as they fit."`
	MaxBatch *int            `env:"-" placeholder:"N" group:"Stack" help:"Largest batch size, by default 16."`
	Padded   bool            `env:"-" group:"Stack" help:"Models take the measured batch sizes alone; others are padded to them."`
	Hardware string          `type:"existingfile" env:"-" placeholder:"FILE" group:"Stack" help:"Profiles and durations of a live stack in place of the zoo's, as clockwork profiles export writes them."`
	Network  []time.Duration `env:"-" placeholder:"TIME" group:"Stack" from:"0s" to:"1s" help:"What a message takes at least and, after a comma, how much more on average; by default 100us,50us."`
	Ahead    *time.Duration  `env:"-" placeholder:"TIME" group:"Stack" from:"1us" to:"1s" help:"How long before it begins work is sent to a worker, by default 3ms."`
	Buffer   *time.Duration  `env:"-" placeholder:"TIME" group:"Stack" from:"0s" to:"1s" help:"How long before its deadline a request is to be done, by default 5ms, at most a twentieth of its budget."`
	Without  []string        `env:"-" placeholder:"NAME" group:"Stack" help:"Switch improvements of policy clockwork off, to see what they are good for: any, back, bounded, early, edf, inputs, long, pays, price, relief, worth, yield."`
	Record   string          `type:"path" env:"-" placeholder:"FILE" group:"Stack" help:"Record what the scheduler is given, for clockwork replay and clockwork explain; of one policy."`

	faultFlags
}

// Help lists the workloads.
func (s *Sim) Help() string {
	var out strings.Builder
	out.WriteString("Runs the scheduler and the workers' own code in virtual time, with emulated\nGPUs and network. The workloads:\n\n")
	out.WriteString(helpWorkloads() + "\n" + helpFaults())
	out.WriteString("\nclockwork sim paper-6.1 (to 6.6) alone reruns that section's experiment, each\npolicy beside the paper's results; with flags of a workload or a stack it is\nrun once like any other. For example:\n\n  clockwork sim paper-6.1\n  clockwork sim mix --gpus 4 --policy clockwork,faithful --html page.html")
	return out.String()
}

// Run simulates and prints the result.
func (s *Sim) Run(_ *cli.Flags, con *cli.Console) error {
	if err := s.check(); err != nil {
		return err
	}
	if e, ok := s.experiment(); ok {
		return s.rerun(con, e)
	}
	set, err := s.setting()
	if err != nil {
		return err
	}
	if s.Peak {
		return s.peaks(con, set)
	}
	return s.compare(con, set)
}

// policies returns the policies of the flag, each once, or the default.
func (s *Sim) policies(byDefault ...string) []string {
	if len(s.Policy) == 0 {
		return byDefault
	}
	var all []string
	for _, name := range s.Policy {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// simPolicies returns the policies that run requests.
func simPolicies() []string {
	return slices.DeleteFunc(policies.Names(), func(name string) bool { return name == "echo" })
}

// gpus returns the GPUs of a worker.
func (s *Sim) gpus() int { return cmp.Or(or0(s.GPUs), paperGPUs[s.Workload], 1) }

// or0 returns the value of a flag, or 0 if it was not given.
func or0[T any](flag *T) (value T) {
	if flag != nil {
		value = *flag
	}
	return value
}

// paperGPUs are the GPUs of the sections that have more than one.
var paperGPUs = map[string]int{"paper-6.3": 6, "paper-6.4": 6, "paper-6.5": 12, "paper-6.6": 10}

// setting is the workload and the stack that the flags describe.
type setting struct {
	config sim.Config
	made
}

func (s *Sim) setting() (setting, error) {
	set := setting{config: s.config()}
	if err := s.readHardware(&set.config); err != nil {
		return set, err
	}
	if err := set.config.Core.Validate(); err != nil {
		return set, cli.Usage(err)
	}
	var err error
	set.made, err = s.make(s.gpus() * s.Workers)
	set.config.Window = window(set.workload.Length)
	return set, err
}

func (s *Sim) config() sim.Config {
	c := sim.Defaults("clockwork")
	c.Workers, c.GPUs, c.Pages, c.Seed = s.Workers, s.gpus(), s.Pages, s.Seed
	c.MaxBatch, c.Padded, c.Resident = or0(s.MaxBatch), s.Padded, s.Resident
	if workload.OnProcessor(s.Workload) {
		c.OnProcessor()
	}
	if len(s.Network) > 0 {
		c.Network.Base, c.Network.Jitter = s.Network[0], 0
	}
	if len(s.Network) > 1 {
		c.Network.Jitter = s.Network[1]
	}
	if s.Ahead != nil {
		c.Core.Ahead = *s.Ahead
	}
	if s.Buffer != nil {
		c.Core.Buffer = *s.Buffer
	}
	c.Core.Without = s.Without
	s.faultFlags.apply(&c, or0(s.Length))
	c.Timeline = s.timeline()
	return c
}

// timeline returns how much of the timeline the page shows, 0 without a page.
func (s *Sim) timeline() time.Duration {
	switch {
	case s.HTML == "":
		return 0
	case s.Timeline == nil:
		return 300 * time.Millisecond
	}
	return *s.Timeline
}

// window returns the step of the series, a round length: about 100 steps per run.
func window(length time.Duration) time.Duration {
	for _, d := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute} {
		if length > 0 && length <= 100*d {
			return d
		}
	}
	if length == 0 {
		return time.Second
	}
	return 10 * time.Minute
}
