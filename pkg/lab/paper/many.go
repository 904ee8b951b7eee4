package paper

import (
	"cmp"
	"fmt"
	"time"

	"clockwork/pkg/lab/plot"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
)

// predictable is section 6.5.
func predictable(o Options) Experiment {
	length := cmp.Or(o.Length, time.Minute)
	c := stack(12)
	w := workload.Paper65(workload.Options{Seed: o.Seed, Zoo: Zoo(), Length: length})
	e := Experiment{
		Title:  "6.5 Is it predictable?",
		Setup:  "12 GPUs, 4,026 instances of 61 models, a made-up trace like that of Azure Functions with a mean of 9,638 r/s, SLO 100 ms. The GPUs are empty at the beginning.",
		Trials: []Trial{{Label: "6.5", Config: c, Workload: w}},
		tables: tables65,
	}
	if length < 8*time.Hour {
		e.Short = fmt.Sprintf("%v of 8 hours. --length 8h runs all of it.", length)
	}
	return e
}

func tables65(e *Experiment, r Results) []Table {
	t := Table{Title: "Requests and predictions", Columns: append(append([]string{""}, e.Policies...), "paper")}
	add := func(title, paper string, cell func(*sim.Report) string) {
		row := []string{title}
		for _, policy := range e.Policies {
			row = append(row, cell(r[Key{0, policy}]))
		}
		t.Rows = append(t.Rows, append(row, paper))
	}
	us := func(v int64) string { return fmt.Sprintf("%d us", v) }
	latency := func(q float64) func(*sim.Report) string {
		return func(r *sim.Report) string { return fmt.Sprintf("%.1f ms", float64(r.Latency.ValueAtQuantile(q))/1e3) }
	}
	add("offered r/s", "9638", func(r *sim.Report) string { return whole(float64(r.Offered) / r.Length.Seconds()) })
	add("goodput r/s", "", func(r *sim.Report) string { return whole(r.Goodput()) })
	add("% in SLO", "", func(r *sim.Report) string { return fmt.Sprintf("%.3f", 100*r.Share()) })
	add("accepted, then late", "58 of 208 M", func(r *sim.Report) string { return fmt.Sprint(r.Missed) })
	add("refused", "", func(r *sim.Report) string { return fmt.Sprint(r.Offered - r.OK() - r.Missed) })
	add("p50 latency", "", latency(50))
	add("p99 latency", "", latency(99))
	add("max latency", "none over 100 ms", latency(100))
	add("p99 longer than predicted", "144 us", func(r *sim.Report) string { return us(r.Over.ValueAtQuantile(99)) })
	add("at most", "", func(r *sim.Report) string { return us(r.Over.Max()) })
	add("p99 shorter than predicted", "55 us", func(r *sim.Report) string { return us(r.Under.ValueAtQuantile(99)) })
	add("at most", "", func(r *sim.Report) string { return us(r.Under.Max()) })
	add("GPU use, %", "", func(r *sim.Report) string { return percent(r.Summary(0).GPU) })
	add("PCIe use, %", "", func(r *sim.Report) string { return percent(r.Summary(0).PCIe) })
	add("cold starts", "", func(r *sim.Report) string { return fmt.Sprint(r.Cold) })
	add("mean batch", "", func(r *sim.Report) string { return fmt.Sprintf("%.2f", r.MeanBatch()) })
	t.Notes = []string{"The emulated GPUs' durations vary by 0.1 %, so prediction errors are of that size; in the paper they are a real GPU's."}
	return []Table{t}
}

// step66 is how long each load of 6.6 lasts in a default run; one minute in the
// paper.
const step66 = time.Second

// scale is section 6.6, on fewer GPUs.
func scale(o Options) Experiment {
	e := Experiment{
		Title: "6.6 Does it scale?",
		Setup: "The load of 6.5 for so many emulated GPUs, at first a tenth of it, then half as much again at each step up to four times.",
		Short: "10 to 30 GPUs, of 10 to 150 in the paper, and 1 s a load, of 60 s. --length 10m runs all ten steps in full.",
	}
	for _, gpus := range []int{10, 20, 30} {
		w := workload.Paper66(workload.Options{Seed: o.Seed, Zoo: Zoo(), GPUs: gpus})
		steps := int(w.Length / time.Minute)
		each := step66
		if o.Length > 0 {
			each = o.Length / time.Duration(steps)
		}
		w.Length = each * time.Duration(steps)
		w.Streams = stepped(w.Streams, each)
		c := stack(gpus)
		c.Window = each
		e.Trials = append(e.Trials, Trial{Label: fmt.Sprint(gpus), Config: c, Workload: w})
	}
	e.tables = tables66
	return e
}

// stepped replays the first minute of each stream at each load, for the duration
// of the load: Counts are scaled one minute at a time.
func stepped(streams []workload.Stream, each time.Duration) []workload.Stream {
	var all []workload.Stream
	for _, s := range streams {
		counts := s.Process.(workload.Counts)
		for k, step := range counts.Scale {
			one := s
			one.Start, one.Stop = time.Duration(k)*each, time.Duration(k+1)*each
			one.Seed += uint64(k) << 32
			one.Process = workload.Counts{Minutes: counts.Minutes, Scale: workload.Always(step.Value)}
			all = append(all, one)
		}
	}
	return all
}

func tables66(e *Experiment, r Results) []Table {
	peak := e.byPolicy(r, "Highest goodput of any load, in requests/s", "GPUs", func(r *sim.Report, _ Trial) string { return whole(peakOf(r)) }, nil)
	each := e.byPolicy(r, "The same for each GPU", "GPUs", func(r *sim.Report, t Trial) string {
		return whole(peakOf(r) / float64(t.Config.GPUs))
	}, nil)
	each.Columns = append(each.Columns, "paper")
	for i := range each.Rows {
		each.Rows[i] = append(each.Rows[i], "~940")
	}
	each.Notes = []string{
		"The paper: linear to 110 GPUs, there 103,387 r/s (940 for each GPU), then its controller is the limit. A simulation",
		"counts no time of the controller's own: what it takes is in the simulated requests per second.",
	}
	var x []float64
	for _, t := range e.Trials {
		x = append(x, float64(t.Config.GPUs))
	}
	peak.Figure = e.curves(r, plot.Chart{Title: peak.Title, X: "GPUs", Y: "requests/s"}, x, peakOf)
	last := len(e.Trials) - 1
	load := Table{Title: fmt.Sprintf("%s GPUs: goodput by load, in requests/s", e.Trials[last].Label), Columns: append([]string{"offered"}, e.Policies...)}
	first := r[Key{last, e.Policies[0]}]
	for i := range min(len(first.Series), int(first.Length/first.Window)) {
		row := []string{whole(float64(first.Series[i].Offered) / first.Window.Seconds())}
		for _, policy := range e.Policies {
			report := r[Key{last, policy}]
			row = append(row, whole(float64(at(report.Series, i).OK)/report.Window.Seconds()))
		}
		load.Rows = append(load.Rows, row)
	}
	load.Figure = e.byLoad(r, last, load.Title)
	return []Table{peak, each, load}
}

// byLoad draws each policy's goodput over the offered load.
func (e *Experiment) byLoad(r Results, trial int, title string) *plot.Chart {
	c := plot.Chart{Title: title, X: "offered, requests/s", Y: "requests/s", Zero: true}
	for k, policy := range e.Policies {
		report := r[Key{trial, policy}]
		line := plot.Series{Name: policy, Colour: k, Dots: true}
		for i := range min(len(report.Series), int(report.Length/report.Window)) {
			line.X = append(line.X, float64(report.Series[i].Offered)/report.Window.Seconds())
			line.Y = append(line.Y, float64(report.Series[i].OK)/report.Window.Seconds())
		}
		c.Series = append(c.Series, line)
	}
	return &c
}

// peakOf returns the highest goodput in any window.
func peakOf(r *sim.Report) float64 {
	best := 0
	for i := range min(len(r.Series), int(r.Length/r.Window)) {
		best = max(best, r.Series[i].OK)
	}
	return float64(best) / r.Window.Seconds()
}
