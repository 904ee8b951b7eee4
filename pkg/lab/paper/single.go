package paper

import (
	"cmp"
	"fmt"
	"time"

	"clockwork/pkg/lab/plot"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
)

// goodputBySLO is section 6.1.
func goodputBySLO(o Options) Experiment {
	e := Experiment{
		Title: "6.1 How does it compare?",
		Setup: "1 GPU, 15 copies of resnet50_v2 with 16 closed-loop clients each, all weights on the GPU at the beginning.",
		Short: "5 s a run, 2 s where the SLO is 10 ms: clients that are refused ask again at once, some 400,000 times a second.",
	}
	for _, slo := range slos61 {
		length := 5 * time.Second
		if slo < 25*time.Millisecond {
			length = 2 * time.Second
		}
		w := workload.Paper61(workload.Options{Seed: o.Seed, Length: cmp.Or(o.Length, length), SLO: workload.Within(slo)})
		c := stack(1)
		c.Resident = true
		e.Trials = append(e.Trials, Trial{Label: milliseconds(slo), Config: c, Workload: w})
	}
	e.tables = func(e *Experiment, r Results) []Table {
		goodput := e.byPolicy(r, "Goodput in requests/s by SLO", "SLO", func(r *sim.Report, _ Trial) string { return whole(r.Goodput()) },
			[]string{"~400", "~500", "~575", "~675", "~725", "~800"})
		goodput.Notes = []string{
			"The paper's are read off a figure, approximate. Its baselines, Clipper and INFaaS, collapse under 100 ms;",
			"aimd is Clipper's way to make batches, within this scheduler.",
		}
		var x []float64
		for _, slo := range slos61 {
			x = append(x, float64(slo)/1e6)
		}
		goodput.Figure = e.curves(r, plot.Chart{Title: goodput.Title, X: "SLO, ms", Y: "requests/s", LogX: true}, x, (*sim.Report).Goodput)
		goodput.Figure.Series = append(goodput.Figure.Series, plot.Series{
			Name: "paper's Clockwork (approximate)", Colour: plot.Grey, Dashed: true, Dots: true, X: x, Y: []float64{400, 500, 575, 675, 725, 800}})
		slowest := e.byPolicy(r, "Longest latency within the SLO, in ms", "SLO", func(r *sim.Report, _ Trial) string {
			if r.OK() == 0 {
				return "-"
			}
			return fmt.Sprintf("%.1f", float64(r.Latency.Max())/1e3)
		}, nil)
		return []Table{goodput, slowest}
	}
	return e
}

var slos61 = []time.Duration{10e6, 25e6, 50e6, 100e6, 250e6, 500e6}

// These are the lead-in, the length and the number of models of section 6.2.
const (
	lead62   = 15 * time.Minute
	length62 = 75 * time.Minute
	models62 = 3600
)

// thousands is section 6.2, with its time compressed.
func thousands(o Options) Experiment {
	length := cmp.Or(o.Length, 5*time.Minute)
	faster := float64(length62) / float64(length)
	shrunk := func(d time.Duration) time.Duration { return time.Duration(float64(d) / faster) }
	w := workload.Paper62(workload.Options{Seed: o.Seed})
	w.Length = length
	w.Streams[1].Start = shrunk(w.Streams[1].Start)
	w.Streams[1].Spread = compressed(w.Streams[1].Spread, faster)
	c := stack(1)
	c.Window = length / 300
	e := Experiment{
		Title:  "6.2 Can it serve thousands?",
		Setup:  "1 GPU of 1,376 pages, 3,601 copies of resnet50_v2 of 7 pages, SLO 100 ms. One copy at 200 r/s throughout; after a fifth of the time 1,000 r/s over the others, at first all to one, then evenly over one more each second.",
		Trials: []Trial{{Label: "6.2", Config: c, Workload: w}},
		tables: tables62,
	}
	if faster > 1 {
		e.Short = fmt.Sprintf("The 75 minutes are compressed into %v: another copy each %v. --length 75m runs all of it.", length, shrunk(time.Second).Round(time.Millisecond))
	}
	return e
}

func compressed[T any](s workload.Schedule[T], faster float64) workload.Schedule[T] {
	var out workload.Schedule[T]
	for _, step := range s {
		step.From = time.Duration(float64(step.From) / faster)
		out = append(out, step)
	}
	return out
}

// phases62 are the phases of 6.2 by the number of active other models.
var phases62 = []struct {
	name     string
	from, to int
}{
	{"none of 3,600 active", -900, 0}, {"1 to 150", 0, 150}, {"151 to 300", 150, 300}, {"301 to 600", 300, 600},
	{"601 to 1,200", 600, 1200}, {"1,201 to 2,400", 1200, 2400}, {"2,401 to 3,600", 2400, 3600},
}

// phase returns the windows of a series in which from to `to` other models were
// active.
func phase[T any](r *sim.Report, series []T, from, to int) []T {
	each := float64(r.Length) / float64(length62/time.Second)
	index := func(active int) int {
		at := (float64(lead62/time.Second) + float64(active)) * each
		return min(int(at/float64(r.Window)+0.5), len(series))
	}
	return series[index(from):index(to)]
}

func tables62(e *Experiment, r Results) []Table {
	full := Table{Title: "Models that were loaded when the first had to leave the GPU", Columns: append(append([]string{""}, e.Policies...), "paper"), Rows: [][]string{{"models"}}}
	for _, policy := range e.Policies {
		full.Rows[0] = append(full.Rows[0], fmt.Sprint(r[Key{0, policy}].GPUs[0].Full))
	}
	full.Rows[0] = append(full.Rows[0], "~201")
	full.Notes = []string{"1,376 pages hold 196 copies of 7 pages."}
	byPhase := func(title string, cell func(r *sim.Report, from, to int) string) Table {
		t := Table{Title: title, Columns: append([]string{"of the others"}, e.Policies...)}
		for _, p := range phases62 {
			row := []string{p.name}
			for _, policy := range e.Policies {
				row = append(row, cell(r[Key{0, policy}], p.from, p.to))
			}
			t.Rows = append(t.Rows, row)
		}
		return t
	}
	stream := func(i int) func(*sim.Report, int, int) string {
		return func(r *sim.Report, from, to int) string {
			return inSLO(phase(r, r.Streams[i], from, to))
		}
	}
	steady := byPhase("The steady 200 r/s: % in SLO", stream(0))
	steady.Notes = []string{"In the paper it suffers while the others fit into memory, and recovers when PCIe, not the GPU, is the limit (from about minute 20, 300 active)."}
	steady.Figure = e.over62(r, "The steady model", "requests/s", func(r *sim.Report, i int) float64 {
		return float64(at(r.Streams[0], i).OK) / r.Window.Seconds()
	})
	others := byPhase("The others, 1,000 r/s in all: % in SLO", stream(1))
	others.Figure = e.over62(r, "The others", "requests/s", func(r *sim.Report, i int) float64 {
		return float64(at(r.Streams[1], i).OK) / r.Window.Seconds()
	})
	pcie := byPhase("PCIe: % of the time", func(r *sim.Report, from, to int) string {
		points := phase(r, r.Series, from, to)
		busy := time.Duration(0)
		for _, p := range points {
			busy += p.Transfer
		}
		return percent(min(1, float64(busy)/float64(max(1, len(points)))/float64(r.Window)))
	})
	pcie.Figure = e.over62(r, "PCIe use", "% of the time", func(r *sim.Report, i int) float64 {
		return min(100, 100*float64(at(r.Series, i).Transfer)/float64(r.Window))
	})
	return []Table{full, steady, others, pcie}
}

// at returns s[i], or the zero value past the end.
func at[T any](s []T, i int) (v T) {
	if i < len(s) {
		v = s[i]
	}
	return v
}

func inSLO(t []sim.Tally) string {
	offered, ok := 0, 0
	for _, x := range t {
		offered, ok = offered+x.Offered, ok+x.OK
	}
	if offered == 0 {
		return "-"
	}
	return percent(min(1, float64(ok)/float64(offered)))
}

// over62 draws a value over the paper's minutes.
func (e *Experiment) over62(r Results, title, y string, value func(*sim.Report, int) float64) *plot.Chart {
	c := plot.Chart{Title: title, X: "time of the paper, minutes", Y: y, Zero: true}
	for k, policy := range e.Policies {
		report := r[Key{0, policy}]
		line := plot.Series{Name: policy, Colour: k}
		n := int(report.Length / report.Window)
		for i := range n {
			line.X = append(line.X, (float64(i)+0.5)/float64(n)*length62.Minutes())
			line.Y = append(line.Y, value(report, i))
		}
		c.Series = append(c.Series, line)
	}
	return &c
}
