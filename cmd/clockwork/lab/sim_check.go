package lab

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"clockwork/cmd/clockwork/ask"
	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/lab/hardware"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
)

// The bounds of a simulation.
const (
	maxSimGPUs    = workload.MaxGPUs
	maxWorkerGPUs = 256
	maxSimRate    = 10_000_000
	boundedUpTo   = 2_000_000 // requests; computing the bound takes a while
)

// readHardware takes what --hardware says.
func (s *Sim) readHardware(c *sim.Config) error {
	if s.Hardware == "" {
		return nil
	}
	f, err := os.Open(s.Hardware)
	if err != nil {
		return cli.Usage(err)
	}
	defer f.Close()
	if c.Hardware, err = hardware.Read(f); err != nil {
		return cli.Usage(fmt.Errorf("%s: %w", s.Hardware, err))
	}
	if len(s.Network) == 0 && c.Hardware.ToWorker != nil {
		c.Network.Base, c.Network.Jitter = c.Hardware.Messages()
	}
	return nil
}

// AfterApply is called by the parser.
func (s *Sim) AfterApply(parsed *kong.Context) error { return noEmptyValue(parsed) }

// noEmptyValue refuses --policy "" and the like, which the parser treats as a flag that
// was not given; a script with an unset variable produces such flags.
func noEmptyValue(parsed *kong.Context) error {
	for _, step := range parsed.Path {
		if step.Flag != nil && step.Flag.Set && !step.Flag.IsBool() && emptyValue(step.Flag.Target) {
			return fmt.Errorf("--%s: its value is empty", step.Flag.Name)
		}
	}
	return nil
}

func emptyValue(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.String) && v.Len() == 0
}

// check refuses what the grammar cannot detect.
func (s *Sim) check() error {
	refuse := func(format string, args ...any) error { return cli.Usagef(format, args...) }
	for _, name := range s.Policy {
		if !slices.Contains(simPolicies(), name) {
			return refuse("there is no policy %q; expected one of %s", name, strings.Join(simPolicies(), ", "))
		}
	}
	if err := s.checkWorkload("sim"); err != nil {
		return err
	}
	if err := checkNumbers([]numberRange{
		{"gpus", s.GPUs, 1, maxWorkerGPUs}, {"workers", &s.Workers, 1, maxSimGPUs}, {"pages", &s.Pages, 1, 1 << 20}, {"max-batch", s.MaxBatch, 1, ask.MaxItems},
	}); err != nil {
		return err
	}
	if s.gpus()*s.Workers > maxSimGPUs {
		return refuse("--workers %d with --gpus %d are more than %d GPUs", s.Workers, s.gpus(), maxSimGPUs)
	}
	for _, check := range []func() error{s.checkTimes, s.checkNames, s.checkIdle, s.checkTaken, s.checkFaults} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkTimes refuses more delays than there are.
func (s *Sim) checkTimes() error {
	if len(s.Network) > 2 {
		return cli.Usagef("--network takes a delay and a jitter, as in 100us,50us")
	}
	return nil
}

// checkNames refuses unknown names.
func (s *Sim) checkNames() error {
	for _, path := range s.Model {
		if zoo.Find(path) == nil {
			return cli.Usagef("--model %s is not in the zoo; a path is zoo/NAME, such as zoo/resnet50_v2", path)
		}
	}
	for _, name := range s.Without {
		if !slices.Contains(policies.Improvements(), name) {
			return cli.Usagef("--without %s: there is no such improvement; expected some of %s", name, strings.Join(policies.Improvements(), ", "))
		}
	}
	return nil
}

// checkIdle refuses flags that would have no effect next to the others: the user would
// expect one.
func (s *Sim) checkIdle() error {
	switch {
	case s.HTML != "" && s.Peak:
		return cli.Usagef("--peak has no page; --html draws runs at one rate")
	case s.HTML == "" && s.Timeline != nil:
		return cli.Usagef("--timeline is for the page of --html")
	case s.Record != "" && (s.Peak || len(s.policies("")) > 1):
		return cli.Usagef("--record takes one run of one policy")
	case s.Peak && s.Rate != nil:
		return cli.Usagef("--peak searches the rate: leave --rate out")
	}
	return nil
}
