// Package paper contains section 6 of the Clockwork paper (Gujarati et al., OSDI
// 2020) as experiments for the simulator: what to run, which results to show,
// and the paper's results for comparison.
//
//	e, err := paper.New("paper-6.1", paper.Options{Seed: 1})
//	for i, t := range e.Trials { // on e.Policies
//		config := t.Config
//		config.Policy = "clockwork"
//		results[paper.Key{Trial: i, Policy: "clockwork"}], err = sim.Run(config, t.Workload, nil)
//	}
//	tables := e.Tables(results)
//
// The paper's numbers come from its text; those from its figures were read off
// by eye and say so. It is pure, and runs nothing.
package paper

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/lab/plot"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
)

// Options are the choices for an experiment.
type Options struct {
	Seed uint64
	// Length is the length of each run; 0: such that all runs together take about a
	// minute.
	Length time.Duration
	// Policies are the policies to compare; nil: all of them.
	Policies []string
}

// Experiment is one section of the paper.
type Experiment struct {
	Name, Title string
	// Setup describes the experiment, Short how it is reduced compared with the
	// paper.
	Setup, Short string
	Policies     []string
	Trials       []Trial
	tables       func(*Experiment, Results) []Table
}

// Trial is one configuration to run, once per policy. Config lacks the policy.
type Trial struct {
	Label    string
	Config   sim.Config
	Workload workload.Workload
}

// Key identifies a run.
type Key struct {
	Trial  int
	Policy string
}

// Results are the reports of an experiment.
type Results map[Key]*sim.Report

// Table is a part of an experiment's results. Its last column may be the
// paper's; Figure draws it.
type Table struct {
	Title   string      `json:"title"`
	Columns []string    `json:"columns"`
	Rows    [][]string  `json:"rows"`
	Notes   []string    `json:"notes,omitempty"`
	Figure  *plot.Chart `json:"-"`
}

// Tables returns the results, once each trial has run on each policy.
func (e *Experiment) Tables(r Results) []Table { return e.tables(e, r) }

// all are the policies, from our own to the simplest.
var all = []string{"clockwork", "faithful", "deferred", "aimd", "fifo", "simple"}

var sections = map[string]func(Options) Experiment{
	"paper-6.1": goodputBySLO, "paper-6.2": thousands, "paper-6.3": tight,
	"paper-6.4": isolation, "paper-6.5": predictable, "paper-6.6": scale,
}

// Has reports whether name is that of a section.
func Has(name string) bool { return sections[name] != nil }

// New returns the experiment of a section.
func New(name string, o Options) (Experiment, error) {
	make := sections[name]
	if make == nil {
		return Experiment{}, fmt.Errorf("%s is no section of the paper", name)
	}
	e := make(o)
	e.Name, e.Policies = name, all
	if o.Policies != nil {
		e.Policies = o.Policies
	}
	for i := range e.Trials {
		t := &e.Trials[i]
		t.Config.Seed, t.Workload.Name = o.Seed, name
	}
	return e, nil
}

// stack is a stack with this number of the paper's GPUs.
func stack(gpus int) sim.Config {
	c := sim.Defaults("")
	c.GPUs = gpus
	return c
}

// Zoo returns the paths of 61 models. The paper uses 61 of the 64 models in its
// appendix and does not say which; these are all but the three largest.
func Zoo() []string {
	return slices.DeleteFunc(zoo.Paths(), func(path string) bool {
		name := strings.TrimPrefix(path, zoo.Prefix)
		return strings.HasPrefix(name, "null") || strings.HasPrefix(name, zoo.OnProcessor) || name == "se_resnext101_64x4d" || name == "resnext101_64x4d" || name == "winograd_resnet152_v2"
	})
}

// Mix returns the paths of a dozen models of different kinds, of 1 to 8 ms.
func Mix() []string {
	var paths []string
	for _, name := range []string{
		"resnet18_v2", "resnet50_v2", "resnet152_v2", "densenet121", "googlenet", "inceptionv3", "xception", "resnext50_32x4d",
		"se_resnext50_32x4d", "mobile_pose_mobilenet1_0", "cifar_wideresnet16_10", "tsn_inceptionv1_kinetics400",
	} {
		paths = append(paths, zoo.Prefix+name)
	}
	return paths
}

// byPolicy returns a table with a row per trial and a column per policy, then
// the paper's column if given.
func (e *Experiment) byPolicy(r Results, title, first string, cell func(*sim.Report, Trial) string, paper []string) Table {
	t := Table{Title: title, Columns: append([]string{first}, e.Policies...)}
	if paper != nil {
		t.Columns = append(t.Columns, "paper")
	}
	for i, trial := range e.Trials {
		row := []string{trial.Label}
		for _, policy := range e.Policies {
			row = append(row, cell(r[Key{i, policy}], trial))
		}
		if paper != nil {
			row = append(row, paper[i])
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// curves draws one line per policy of a value over the trials.
func (e *Experiment) curves(r Results, c plot.Chart, x []float64, value func(*sim.Report) float64) *plot.Chart {
	c.Zero = true
	for k, policy := range e.Policies {
		line := plot.Series{Name: policy, Colour: k, Dots: true, X: x}
		for i := range e.Trials {
			line.Y = append(line.Y, value(r[Key{i, policy}]))
		}
		c.Series = append(c.Series, line)
	}
	return &c
}

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }

// percent shows 100 only if the share is exactly 1.
func percent(v float64) string {
	if v < 1 && v > 0.9995 {
		return "99.9"
	}
	return fmt.Sprintf("%.1f", 100*v)
}

func milliseconds(d time.Duration) string {
	text := fmt.Sprintf("%.1f", float64(d)/1e6)
	return strings.TrimSuffix(text, ".0") + " ms"
}
