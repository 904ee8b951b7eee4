package paper

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/lab/sim"
)

// A shape is what a section of the paper claims, in a form that a run of a few
// seconds can show, with so much room that a policy may be tuned within it. It
// says what is otherwise in a run of a policy.
type shape func(c *claims, e Experiment, r Results, policy string)

// claims collects what is otherwise.
type claims struct{ broken []string }

func (c *claims) that(holds bool, format string, args ...any) {
	if !holds {
		c.broken = append(c.broken, fmt.Sprintf(format, args...))
	}
}

func experiment(t *testing.T, name string, length time.Duration, policies ...string) Experiment {
	t.Helper()
	e, err := New(name, Options{Seed: 1, Length: length, Policies: policies})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// run runs all of an experiment, each trial changed where there is a change.
func run(t *testing.T, e Experiment, change func(*sim.Config)) Results {
	t.Helper()
	results := Results{}
	for i, trial := range e.Trials {
		for _, policy := range e.Policies {
			c := trial.Config
			c.Policy = policy
			if change != nil {
				change(&c)
			}
			r, err := sim.Run(c, trial.Workload, nil)
			if err != nil {
				t.Fatal(err)
			}
			results[Key{i, policy}] = r
		}
	}
	return results
}

// holds checks a shape on policy clockwork; and that it is broken where broken
// says, for what holds of everything says nothing.
func holds(t *testing.T, s shape, e Experiment, r Results) {
	t.Helper()
	var c claims
	s(&c, e, r, "clockwork")
	for _, text := range c.broken {
		t.Error(text)
	}
}

func broken(t *testing.T, why string, s shape, e Experiment, r Results, policy string) {
	t.Helper()
	var c claims
	if s(&c, e, r, policy); len(c.broken) == 0 {
		t.Errorf("%s: the shape is as claimed; the claims see nothing", why)
	}
	t.Logf("%s: %s", why, strings.Join(c.broken, "; "))
}

// least is the least SLO from which on all are satisfied, 0 if none is.
func least(r *sim.Report) (slo time.Duration) {
	for _, c := range slices.Backward(r.Classes) {
		if hasTime(c) {
			continue
		}
		if c.Share() < satisfied {
			break
		}
		slo = c.SLO
	}
	return slo
}

func TestEveryTableIsFull(t *testing.T) {
	t.Parallel()
	for name := range sections {
		e := experiment(t, name, 300*time.Millisecond, "clockwork")
		for _, table := range e.Tables(run(t, e, nil)) {
			if table.Title == "" || len(table.Rows) == 0 {
				t.Errorf("%s: a table %q of %d rows", name, table.Title, len(table.Rows))
			}
			for _, row := range table.Rows {
				if len(row) != len(table.Columns) {
					t.Errorf("%s, %s: %d cells for %d columns: %v", name, table.Title, len(row), len(table.Columns), row)
				}
			}
		}
	}
}

func TestExperimentsSayWhatTheyAreAndWhatTheyLeaveOut(t *testing.T) {
	for name := range sections {
		e := experiment(t, name, 0)
		if !strings.HasPrefix(e.Title, strings.TrimPrefix(name, "paper-")+" ") || e.Setup == "" || e.Short == "" || len(e.Trials) == 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if _, err := New("paper-6.7", Options{}); err == nil {
		t.Error("the paper has no section 6.7")
	}
}
