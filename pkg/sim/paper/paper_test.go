package paper

import (
	"testing"
	"time"

	"clockwork/pkg/sim"
)

func run(t *testing.T, name string, length time.Duration, policies ...string) (Experiment, Results) {
	t.Helper()
	e, err := New(name, Options{Seed: 1, Length: length, Policies: policies})
	if err != nil {
		t.Fatal(err)
	}
	results := Results{}
	for i, trial := range e.Trials {
		for _, policy := range policies {
			c := trial.Config
			c.Policy = policy
			if results[Key{i, policy}], err = sim.Run(c, trial.Workload, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, table := range e.Tables(results) {
		for _, row := range table.Rows {
			if len(row) != len(table.Columns) {
				t.Errorf("%s: %d cells for %d columns: %v", table.Title, len(row), len(table.Columns), row)
			}
		}
	}
	return e, results
}

func TestSection61GoodputRisesWithTheSLOAndBaselinesFallBehind(t *testing.T) {
	e, r := run(t, "paper-6.1", time.Second, "clockwork", "aimd", "fifo", "simple")
	for i := 1; i < len(e.Trials); i++ {
		if a, b := r[Key{i - 1, "clockwork"}].Goodput(), r[Key{i, "clockwork"}].Goodput(); b < 0.98*a {
			t.Errorf("%.0f r/s at %s, %.0f at %s", a, e.Trials[i-1].Label, b, e.Trials[i].Label)
		}
	}
	for _, policy := range []string{"aimd", "fifo", "simple"} {
		if ours, theirs := r[Key{1, "clockwork"}].Goodput(), r[Key{1, policy}].Goodput(); theirs >= ours {
			t.Errorf("at 25 ms %s has %.0f r/s, clockwork %.0f", policy, theirs, ours)
		}
	}
}

func TestSection62MemoryIsFullAtAbout201Models(t *testing.T) {
	_, r := run(t, "paper-6.2", 30*time.Second, "clockwork")
	if n := r[Key{0, "clockwork"}].GPUs[0].Full; n < 190 || n > 205 {
		t.Errorf("the first weights left when %d models had been loaded", n)
	}
}

func TestSection64LatencySensitiveModelsAreIsolated(t *testing.T) {
	e, r := run(t, "paper-6.4", 6*time.Second, "clockwork")
	for i, trial := range e.Trials {
		for _, c := range r[Key{i, "clockwork"}].Classes {
			if c.SLO > 33*time.Millisecond && c.Share() < 0.99 {
				t.Errorf("%s batch clients: %.3f in the SLO of %v", trial.Label, c.Share(), c.SLO)
			}
		}
	}
}

func TestSection66TheLoadGrows(t *testing.T) {
	e, r := run(t, "paper-6.6", time.Second, "clockwork")
	series := r[Key{0, "clockwork"}].Series
	if steps := int(e.Trials[0].Workload.Length / e.Trials[0].Config.Window); series[steps-1].Offered < 20*series[0].Offered {
		t.Errorf("%d requests at first, %d at last", series[0].Offered, series[steps-1].Offered)
	}
}
