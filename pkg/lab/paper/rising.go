package paper

import (
	"fmt"
	"time"

	"clockwork/pkg/lab/plot"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// step63 is how long each SLO of 6.3 and 6.4 lasts in a default run; 30 s in the
// paper.
const step63 = 5 * time.Second

// satisfied is the share in SLO from which an SLO counts as met.
const satisfied = 0.99

// quicker shortens the steps of the SLO to fit length, or the default.
func quicker(w workload.Workload, length time.Duration) workload.Workload {
	steps := len(w.Streams[0].SLO)
	each := step63
	if length > 0 {
		each = length / time.Duration(steps)
	}
	w.Length = each * time.Duration(steps)
	for i := range w.Streams {
		if s := &w.Streams[i]; len(s.SLO) > 1 {
			s.SLO = compressed(s.SLO, float64(30*time.Second)/float64(each))
		}
	}
	return w
}

const shortSteps = "Each SLO stays for 5 s, of 30 s in the paper. --length 6m runs all of it."

// tight is section 6.3.
func tight(o Options) Experiment {
	e := Experiment{
		Title: "6.3 How low can it go?",
		Setup: "6 GPUs, N copies of resnet50_v2 that share R requests/s, Poisson; the SLO begins at 2.9 ms, one execution, and grows by half. All weights on all GPUs at the beginning.",
		Short: shortSteps,
	}
	for _, n := range []int{12, 48} {
		for _, rate := range []float64{600, 1200, 2400} {
			c := stack(6)
			c.Resident = true
			w := workload.Paper63(workload.Options{Seed: o.Seed, Copies: n, Rate: rate})
			e.Trials = append(e.Trials, Trial{Label: fmt.Sprintf("N=%d R=%.0f", n, rate), Config: c, Workload: quicker(w, o.Length)})
		}
	}
	e.tables = func(e *Experiment, r Results) []Table {
		least := e.byPolicy(r, "Least SLO from which 99 % of the requests are in it, in ms", "", leastSLO, []string{"10", "22", "74", "", "", ""})
		least.Notes = []string{"The paper reports that SLOs down to 10, 22 and 74 ms are met, as the load grows; the numbers are rounded steps."}
		return append([]Table{least}, e.bySLO(r, "In SLO")...)
	}
	return e
}

// isolation is section 6.4.
func isolation(o Options) Experiment {
	e := Experiment{
		Title: "6.4 Can it isolate?",
		Setup: "6 GPUs, 6 copies of resnet50_v2 that share 200 r/s under the SLOs of 6.3, beside copies with closed-loop batch clients that have all the time they want. All weights on all GPUs at the beginning.",
		Short: shortSteps,
	}
	for _, b := range []struct{ models, clients int }{{0, 0}, {12, 16}, {48, 4}} {
		c := stack(6)
		c.Resident = true
		o64 := workload.Options{Seed: o.Seed, Background: b.models, Clients: b.clients}
		label := fmt.Sprintf("%dx%d", b.models, b.clients)
		if b.models == 0 {
			o64.Background, label = -1, "none"
		}
		e.Trials = append(e.Trials, Trial{Label: label, Config: c, Workload: quicker(workload.Paper64(o64), o.Length)})
	}
	e.tables = func(e *Experiment, r Results) []Table {
		least := e.byPolicy(r, "Latency-sensitive models: least SLO from which 99 % are in it, in ms", "batch clients", leastSLO, nil)
		least.Notes = []string{"In the paper the latency-sensitive models are not affected by the batch clients."}
		batch := e.byPolicy(r, "Batch clients: requests/s", "batch clients", func(r *sim.Report, _ Trial) string {
			ok := 0
			for _, c := range r.Classes {
				if hasTime(c) {
					ok = c.OK
				}
			}
			return whole(float64(ok) / r.Length.Seconds())
		}, nil)
		return append([]Table{least, batch}, e.bySLO(r, "Latency-sensitive models in SLO")...)
	}
	return e
}

// hasTime reports whether a class is that of the batch clients.
func hasTime(c sim.Class) bool { return c.SLO == protocol.MaxSLO }

// leastSLO returns the least SLO from which on every SLO is met.
func leastSLO(r *sim.Report, _ Trial) string {
	least := "none"
	for i := len(r.Classes) - 1; i >= 0; i-- {
		c := r.Classes[i]
		if hasTime(c) {
			continue
		}
		if c.Share() < satisfied {
			break
		}
		least = fmt.Sprintf("%.1f", float64(c.SLO)/1e6)
	}
	return least
}

// bySLO returns, for the first two policies, a table with a row per SLO and a
// column per trial.
func (e *Experiment) bySLO(r Results, title string) []Table {
	var tables []Table
	for _, policy := range e.Policies[:min(2, len(e.Policies))] {
		t := Table{Title: fmt.Sprintf("%s, %s: %%", title, policy), Columns: []string{"SLO"}}
		figure := plot.Chart{Title: t.Title, X: "SLO, ms", Y: "% in SLO", LogX: true, Zero: true, Top: 100}
		for i, trial := range e.Trials {
			t.Columns = append(t.Columns, trial.Label)
			line := plot.Series{Name: trial.Label, Colour: i, Dots: true}
			row := 0
			for _, c := range r[Key{i, policy}].Classes {
				if hasTime(c) {
					continue
				}
				if row == len(t.Rows) {
					t.Rows = append(t.Rows, []string{milliseconds(c.SLO)})
				}
				t.Rows[row] = append(t.Rows[row], percent(c.Share()))
				line.X, line.Y = append(line.X, float64(c.SLO)/1e6), append(line.Y, 100*c.Share())
				row++
			}
			figure.Series = append(figure.Series, line)
		}
		t.Figure = &figure
		tables = append(tables, t)
	}
	return tables
}
