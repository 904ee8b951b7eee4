package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"clockwork/pkg/protocol"
	"clockwork/pkg/sched"
	"clockwork/pkg/workload"
	"clockwork/pkg/zoo"
)

// The bounds of a simulation.
const (
	maxSimGPUs    = workload.MaxGPUs
	maxWorkerGPUs = 256
	maxSimRate    = 10_000_000
	maxSimDay     = 28 * 24 * time.Hour
	maxTimeline   = 10 * time.Second
	boundedUpTo   = 2_000_000 // requests, for the bound takes a while
)

// AfterApply is called by the parser.
func (s *simCommand) AfterApply(parsed *kong.Context) error { return noEmptyValue(parsed) }

// noEmptyValue refuses --policy "" and the like, of which the parser makes a
// flag that was not given; a script whose variable is unset writes so.
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

// check refuses what the grammar cannot see.
func (s *simCommand) check() error {
	refuse := func(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }
	for _, name := range s.Policy {
		if !slices.Contains(simPolicies(), name) {
			return refuse("there is no policy %q; expected one of %s", name, strings.Join(simPolicies(), ", "))
		}
	}
	switch {
	case s.Workload == "" && s.Trace == "":
		return refuse("say which workload, or --trace FILE; clockwork sim --help lists the workloads")
	case s.Workload != "" && !slices.Contains(workload.Names(), s.Workload):
		return refuse("there is no workload %q; expected one of %s", s.Workload, strings.Join(workload.Names(), ", "))
	case s.Rate != nil && !(*s.Rate > 0 && *s.Rate <= maxSimRate):
		return refuse("--rate is %v; it must be more than 0 and at most %d, in requests a second", *s.Rate, maxSimRate)
	}
	for _, flag := range []struct {
		name        string
		value       *int
		least, most int
	}{
		{"copies", s.Copies, 1, protocol.MaxCopies}, {"clients", s.Clients, 1, workload.MaxClients}, {"gpus", s.GPUs, 1, maxWorkerGPUs},
		{"workers", &s.Workers, 1, maxSimGPUs}, {"pages", &s.Pages, 1, 1 << 20}, {"max-batch", s.MaxBatch, 1, maxItems},
	} {
		if flag.value != nil && (*flag.value < flag.least || *flag.value > flag.most) {
			return refuse("--%s is %d; it must be from %d to %d", flag.name, *flag.value, flag.least, flag.most)
		}
	}
	if s.gpus()*s.Workers > maxSimGPUs {
		return refuse("--workers %d with --gpus %d are more than %d GPUs", s.Workers, s.gpus(), maxSimGPUs)
	}
	for _, check := range []func() error{s.checkTimes, s.checkNames, s.checkIdle, s.checkFaults} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkTimes refuses durations that are out of their range.
func (s *simCommand) checkTimes() error {
	if len(s.Network) > 2 {
		return usageError{"--network takes a delay and a jitter, as in 100us,50us"}
	}
	above := func(most time.Duration) timeRange { return timeRange{1, most} }
	for _, flag := range []struct {
		name   string
		values []time.Duration
		timeRange
	}{
		{"length", given(s.Length), above(maxSimDay)}, {"slo", given(s.SLO), above(protocol.MaxSLO)}, {"timeline", given(s.Timeline), timeRange{0, maxTimeline}},
		{"network", s.Network, timeRange{0, time.Second}}, {"ahead", given(s.Ahead), above(time.Second)}, {"buffer", given(s.Buffer), timeRange{0, time.Second}},
	} {
		for _, d := range flag.values {
			if d < flag.least || d > flag.most {
				return usageError{fmt.Sprintf("--%s is %v; it must be %s", flag.name, d, flag.timeRange)}
			}
		}
	}
	return nil
}

// timeRange is what a duration may be; a least of 1 stands for all above 0.
type timeRange struct{ least, most time.Duration }

func (r timeRange) String() string {
	if r.least > 0 {
		return fmt.Sprintf("more than 0 and at most %v", r.most)
	}
	return fmt.Sprintf("from 0 to %v", r.most)
}

// checkNames refuses names that nothing has.
func (s *simCommand) checkNames() error {
	for _, path := range s.Model {
		if zoo.Find(path) == nil {
			return usageError{fmt.Sprintf("--model %s is not in the zoo; a path is zoo/NAME, such as zoo/resnet50_v2", path)}
		}
	}
	for _, name := range s.Without {
		if !slices.Contains(sched.Improvements(), name) {
			return usageError{fmt.Sprintf("--without %s: there is no such improvement; expected some of %s", name, strings.Join(sched.Improvements(), ", "))}
		}
	}
	return nil
}

// checkIdle refuses flags that would do nothing beside the others: who gave
// one takes it for done.
func (s *simCommand) checkIdle() error {
	takes := func(option string) bool { return s.Workload == "" || workload.Takes(s.Workload, option) }
	switch {
	case s.HTML != "" && s.Peak:
		return usageError{"--peak has no page; --html draws runs at one rate"}
	case s.HTML == "" && s.Timeline != nil:
		return usageError{"--timeline is for the page of --html"}
	case s.Record != "" && (s.Peak || len(s.policies("")) > 1):
		return usageError{"--record takes one run of one policy"}
	case s.Trace != "" && (s.Rate != nil || s.Clients != nil):
		return usageError{"--rate and --clients are for named workloads; a trace says who asks when"}
	case s.Peak && s.Rate != nil:
		return usageError{"--peak searches the rate: leave --rate out"}
	case s.Rate != nil && !takes("rate"):
		return usageError{fmt.Sprintf("%s has no rate that can be set: leave --rate out", s.Workload)}
	case s.Copies != nil && !takes("copies"):
		return usageError{fmt.Sprintf("%s has its own number of models: leave --copies out", s.Workload)}
	case s.Clients != nil && !takes("clients"):
		return usageError{fmt.Sprintf("%s has no clients of closed loops: leave --clients out", s.Workload)}
	case len(s.Model) > 1 && !takes("models"):
		return usageError{fmt.Sprintf("%s has copies of one model: give --model one path", s.Workload)}
	}
	return nil
}

func given(d *time.Duration) []time.Duration {
	if d == nil {
		return nil
	}
	return []time.Duration{*d}
}
