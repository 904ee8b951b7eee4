package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/sched"
	"clockwork/pkg/sim"
	"clockwork/pkg/sim/paper"
	"clockwork/pkg/workload"
)

type simCommand struct {
	Workload string         `arg:"" optional:"" help:"The workload's name, see above; not needed with --trace."`
	Policy   []string       `env:"-" placeholder:"NAME" help:"The policies to compare, by default clockwork, and all of them where a section of the paper is rerun."`
	Seed     uint64         `default:"1" env:"-" help:"Another seed is another run; the same seed is the same one."`
	HTML     string         `name:"html" type:"path" env:"-" placeholder:"FILE" help:"Write a page of figures there as well, for a browser."`
	Timeline *time.Duration `placeholder:"TIME" env:"-" help:"How much of the beginning the page shows action by action, by default 300ms; with --html."`
	Length   *time.Duration `env:"-" placeholder:"TIME" help:"How long requests come, by default as long as the workload says, else 20s."`
	Peak     bool           `env:"-" help:"Search for the highest rate with 99 % of the requests in their SLO, for each policy and for faithful."`

	Trace   string         `type:"path" env:"-" placeholder:"FILE" group:"Workload" help:"Replay this file: lines of timestamp,model, the time in seconds or as in 2020-09-13T12:26:40.5Z; or counts for each minute as in the Azure Functions trace of 2019; those also as workload paper-6.5 or paper-6.6."`
	Rate    *float64       `env:"-" placeholder:"R/S" group:"Workload" help:"Requests a second of all open loops together, by default the workload's; of azure, the mean of a whole day, of which a part may have more or less."`
	Copies  *int           `env:"-" placeholder:"N" group:"Workload" help:"Instances of each model, by default the workload's."`
	Clients *int           `env:"-" placeholder:"N" group:"Workload" help:"Clients of each closed loop, by default the workload's."`
	SLO     *time.Duration `name:"slo" env:"-" placeholder:"TIME" group:"Workload" help:"Latency target, by default the workload's, else 100ms."`
	Model   []string       `env:"-" placeholder:"zoo/NAME" group:"Workload" help:"The model that is copied, by default zoo/resnet50_v2; of mix, azure, paper-6.5 and paper-6.6 all their models."`

	GPUs     *int            `name:"gpus" env:"-" placeholder:"N" group:"Stack" help:"GPUs of each worker, by default the paper's number for its sections, else 1."`
	Workers  int             `default:"1" env:"-" group:"Stack" help:"How many workers there are."`
	Pages    int             `default:"1376" env:"-" group:"Stack" help:"Pages of 16 MiB that a GPU has for weights."`
	Resident bool            `env:"-" group:"Stack" help:"Begin with the weights on every GPU, as far as they fit."`
	MaxBatch *int            `env:"-" placeholder:"N" group:"Stack" help:"Largest batch size, by default 16."`
	Padded   bool            `env:"-" group:"Stack" help:"Models take the measured batch sizes alone; others are padded to them."`
	Network  []time.Duration `env:"-" placeholder:"TIME" group:"Stack" help:"What a message takes at least and, after a comma, how much more on average; by default 100us,50us."`
	Ahead    *time.Duration  `env:"-" placeholder:"TIME" group:"Stack" help:"How long before it begins work is sent to a worker, by default 3ms."`
	Buffer   *time.Duration  `env:"-" placeholder:"TIME" group:"Stack" help:"How long before its deadline a request is to be done, by default 5ms, at most a twentieth of its budget."`
	Without  []string        `env:"-" placeholder:"NAME" group:"Stack" help:"Switch improvements of policy clockwork off, to see what they are good for: any, early, edf, long, price, relief, worth, yield."`
	Record   string          `type:"path" env:"-" placeholder:"FILE" group:"Stack" help:"Record what the scheduler is given, for clockwork replay and clockwork explain; of one policy."`

	faultFlags
}

// Help lists the workloads.
func (s *simCommand) Help() string {
	var out strings.Builder
	out.WriteString("Runs the scheduler and the workers' own code in virtual time, with emulated\nGPUs and network. The workloads:\n\n")
	for _, name := range workload.Names() {
		fmt.Fprintf(&out, "  %-17s %s\n", name, workload.About(name))
	}
	out.WriteString("\n" + helpFaults())
	out.WriteString("\nclockwork sim paper-6.1 (to 6.6) alone reruns that section's experiment, each\npolicy beside the paper's results; with flags of a workload or a stack it is\nrun once like any other. For example:\n\n  clockwork sim paper-6.1\n  clockwork sim mix --gpus 4 --policy clockwork,faithful --html page.html")
	return out.String()
}

// Run simulates, and prints what came of it.
func (s *simCommand) Run(_ *cli, con *console) error {
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

// policies are those asked for, each once, or by default.
func (s *simCommand) policies(byDefault ...string) []string {
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

// simPolicies are those that run requests.
func simPolicies() []string {
	return slices.DeleteFunc(sched.Policies(), func(name string) bool { return name == "echo" })
}

// gpus are those of a worker.
func (s *simCommand) gpus() int { return cmp.Or(or0(s.GPUs), paperGPUs[s.Workload], 1) }

// or0 is the value of a flag, or 0 where it was not given.
func or0[T any](flag *T) (value T) {
	if flag != nil {
		value = *flag
	}
	return value
}

// paperGPUs are the GPUs of the sections that have more than one.
var paperGPUs = map[string]int{"paper-6.3": 6, "paper-6.4": 6, "paper-6.5": 12, "paper-6.6": 10}

// setting is what the flags make of a workload and the stack around it.
type setting struct {
	config   sim.Config
	workload workload.Workload
	// options made it; none did where it is a trace of timestamps.
	options workload.Options
	notes   []string
}

func (s *simCommand) setting() (setting, error) {
	set := setting{config: s.config(), options: s.options()}
	if err := set.config.Core.Validate(); err != nil {
		return set, usage(err)
	}
	var err error
	if s.Trace != "" {
		err = s.readTrace(&set)
	} else {
		set.workload, err = workload.Named(s.Workload, set.options)
	}
	if err != nil {
		return set, usage(err)
	}
	s.shorten(&set)
	set.config.Window = window(set.workload.Length)
	return set, nil
}

func (s *simCommand) config() sim.Config {
	c := sim.Defaults("clockwork")
	c.Workers, c.GPUs, c.Pages, c.Seed = s.Workers, s.gpus(), s.Pages, s.Seed
	c.MaxBatch, c.Padded, c.Resident = or0(s.MaxBatch), s.Padded, s.Resident
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

// timeline is how much of it the page shows, if there is one.
func (s *simCommand) timeline() time.Duration {
	switch {
	case s.HTML == "":
		return 0
	case s.Timeline == nil:
		return 300 * time.Millisecond
	}
	return *s.Timeline
}

func (s *simCommand) options() workload.Options {
	o := workload.Options{
		Seed: s.Seed, Zoo: s.Model, Copies: or0(s.Copies), Rate: or0(s.Rate), Clients: or0(s.Clients), Length: or0(s.Length), GPUs: s.gpus() * s.Workers,
	}
	if s.SLO != nil {
		o.SLO = workload.Within(*s.SLO)
	}
	if len(s.Model) > 0 {
		o.Path = s.Model[0]
	} else if o.Zoo = paper.Zoo(); s.Workload == "mix" {
		o.Zoo = paper.Mix()
	}
	if o.Length == 0 && unending[s.Workload] {
		o.Length = time.Minute
	}
	return o
}

// unending are the workloads of hundreds of millions of requests.
var unending = map[string]bool{"azure": true, "paper-6.5": true}

// shorten ends a workload that goes on for ever.
func (s *simCommand) shorten(set *setting) {
	w := &set.workload
	part, longer := "", ""
	if w.Name == "azure" && s.Trace == "" && w.Length < aDay {
		part = fmt.Sprintf(" of a day that has %.0f r/s on average", meanOfDay(*w))
	}
	if s.Length == nil && s.Trace == "" && unending[w.Name] {
		longer = "; --length makes it longer"
	}
	if part+longer != "" {
		set.notes = append(set.notes, fmt.Sprintf("The first %v%s%s.", w.Length, part, longer))
	}
	w.Length = cmp.Or(or0(s.Length), w.Length, 20*time.Second)
}

const aDay = workload.DayMinutes * time.Minute

// meanOfDay is the rate of a workload of counts over all of its day.
func meanOfDay(w workload.Workload) float64 {
	n := 0
	for _, stream := range w.Streams {
		if counts, ok := stream.Process.(workload.Counts); ok {
			n += workload.Function{Minutes: counts.Minutes}.Invocations()
		}
	}
	return float64(n) / aDay.Seconds()
}

// window is the step of the series: about 100 of them, of a round length.
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
