// Package policies makes every scheduling policy by name: those that a scheduler service
// runs, which package sched has, and those of the laboratory, with which they are compared.
// The laboratory's policies are sets of the planner's rules (sched.Options), some with a
// rule of their own. Each planner can be made without some of its improvements.
//
//	core, err := policies.New("aimd", policies.Defaults())
//
// The simulator, replay, recordings and the command line use it. It is pure; its tables
// are never written. It decides nothing that a service does.
package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clockwork/pkg/core/sched"
)

// laboratory are the policies that no service runs.
var laboratory = map[string]sched.Options{
	// One request at a time, in the order of arrival.
	"fifo": {Batch: sched.Single},
	// The order of arrival, in batches that grow and shrink with the latency.
	"aimd": {NewBound: newAIMD},
	// The rules of clockwork but pays, yield and early, in batches that wait for more members.
	"deferred": {EDF: true, Urgent: true, Priced: true, Relief: true, Worth: true, Long: true, Defer: untilItMustBegin},
}

// Config is what a core is made with.
type Config struct {
	sched.Config
	// Without switches improvements over the original off, to see what each gains:
	// names of Improvements, by default none. It changes nothing for policies that are
	// no planners (simple, echo).
	Without []string
}

// Defaults returns the default of each field.
func Defaults() Config { return Config{Config: sched.Defaults()} }

// Validate reports the first field that is out of range, or names no improvement.
func (c Config) Validate() error {
	if err := c.Config.Validate(); err != nil {
		return err
	}
	for _, name := range c.Without {
		if improvements[name] == nil {
			return fmt.Errorf("no improvement is called %q; expected some of %s", name, strings.Join(Improvements(), ", "))
		}
	}
	return nil
}

// Names are the policies that New knows, sorted.
func Names() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(laboratory)), sched.Policies()...)))
}

// New makes the core of a policy, one of Names. It fails if the name is unknown or the
// configuration out of range.
func New(name string, config Config) (sched.Core, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("choose policy: none is called %q (%s)", name, strings.Join(Names(), ", "))
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure %s: %w", name, err)
	}
	options, plans := planner(name)
	if !plans {
		return sched.New(name, config.Config)
	}
	for _, improvement := range config.Without {
		improvements[improvement](&options)
	}
	return sched.NewPlanner(options, config.Config)
}

// planner returns the rules of a policy; false if it is no planner.
func planner(name string) (sched.Options, bool) {
	if options, ok := laboratory[name]; ok {
		return options, true
	}
	return sched.PlannerOptions(name)
}
