package page

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"clockwork/pkg/plot"
	"clockwork/pkg/sim"
)

// Figures show runs of the same workload, one for each policy: over each other
// where one value stands for a policy, else beside each other.
func Figures(runs []*sim.Report) []Section {
	sections := []Section{
		{Title: "Requests", Figures: append([]Figure{goodput(runs), missing(runs)}, latencies(runs)...)},
		{Title: "Work", Figures: []Figure{
			batches(runs), batchesOverTime(runs), coldStarts(runs), loads(runs),
			useOverTime("GPU use", runs, func(p sim.PointSummary) float64 { return p.GPU }),
			useOverTime("PCIe use", runs, func(p sim.PointSummary) float64 { return p.PCIe }),
			usePerGPU("GPU use by GPU", runs, func(u sim.UseSummary) float64 { return u.GPU }),
			usePerGPU("PCIe use by GPU", runs, func(u sim.UseSummary) float64 { return u.PCIe }),
		}},
		{Title: "Predictions", Figures: []Figure{
			tail("Prediction errors", "How much longer (solid) or shorter (dashed) executions took than predicted, of those that did.", "error, us", runs, func(r *sim.Report) []tailLine {
				return []tailLine{{"", r.Over, false, 1}, {", shorter", r.Under, true, 1}}
			}),
			errorsOverTime(runs),
		}},
	}
	if shown := timelines(runs); len(shown) > 0 {
		sections = append(sections, Section{Title: "What each GPU did at first", Figures: shown})
	}
	return sections
}

// over makes a line of each policy's series.
func over(runs []*sim.Report, value func(sim.PointSummary) float64) []plot.Series {
	var all []plot.Series
	for i, r := range runs {
		line := plot.Series{Name: r.Policy, Colour: i}
		for _, p := range points(r) {
			line.X = append(line.X, p.At.Seconds())
			line.Y = append(line.Y, value(p))
		}
		all = append(all, line)
	}
	return all
}

// points are the windows of the workload's length that are whole.
func points(r *sim.Report) []sim.PointSummary {
	all := r.Summary(0).Series
	if r.Length > 0 {
		if n := int(r.Length / r.Window); n > 0 && n < len(all) {
			all = all[:n]
		}
	}
	return all
}

func timed(title, y string, series []plot.Series) plot.Chart {
	return plot.Chart{Title: title, X: "time, s", Y: y, Zero: true, Series: series}
}

func rate(r *sim.Report, n int) float64 { return float64(n) / r.Window.Seconds() }

func goodput(runs []*sim.Report) Figure {
	r := runs[0]
	lines := over(runs, func(p sim.PointSummary) float64 { return rate(r, p.OK) })
	for i, run := range runs {
		if i > 0 && run.Offered == r.Offered {
			continue // an open loop offers the same to all
		}
		offered := over([]*sim.Report{run}, func(p sim.PointSummary) float64 { return rate(r, p.Offered) })[0]
		offered.Name, offered.Colour, offered.Dashed = "offered", plot.Grey, true
		if most(offered.Y) > 4*max(1, most(lines[i].Y)) {
			continue // refused clients that ask again at once would dwarf the rest
		}
		if i > 0 {
			offered.Name, offered.Colour = "offered to "+run.Policy, i
		}
		lines = append(lines, offered)
	}
	return chart("Answered within the SLO, in each window by the time of the answer.", timed("Goodput", "requests/s", lines))
}

func most(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Max(values)
}

func missing(runs []*sim.Report) Figure {
	return chart("Of the requests answered in a window, those refused or late.", plot.Chart{
		Title: "Not in SLO", X: "time, s", Y: "% of answers", Zero: true, Top: 1, Series: over(runs, func(p sim.PointSummary) float64 {
			bad := p.Refused + p.Missed
			if bad+p.OK == 0 {
				return math.NaN()
			}
			return 100 * float64(bad) / float64(bad+p.OK)
		})})
}

// latencies has a figure for each policy, and one of them all.
func latencies(runs []*sim.Report) []Figure {
	figures := []Figure{tail("Latency of all", "Latency that this part of the answers within their SLO does not exceed.", "latency, ms", runs, func(r *sim.Report) []tailLine {
		return []tailLine{{"", r.Latency, false, 1e-3}}
	})}
	top := 0.0
	for _, r := range runs {
		for _, p := range points(r) {
			top = max(top, ms(p.Latency.Max))
		}
	}
	for _, r := range runs {
		var lines []plot.Series
		for i, q := range []struct {
			name string
			of   func(sim.PointSummary) time.Duration
		}{
			{"p50", func(p sim.PointSummary) time.Duration { return p.Latency.P50 }},
			{"p99", func(p sim.PointSummary) time.Duration { return p.Latency.P99 }},
			{"max", func(p sim.PointSummary) time.Duration { return p.Latency.Max }},
		} {
			line := over([]*sim.Report{r}, func(p sim.PointSummary) float64 { return positive(ms(q.of(p))) })[0]
			line.Name, line.Colour = q.name, i
			lines = append(lines, line)
		}
		slo := over([]*sim.Report{r}, func(p sim.PointSummary) float64 { return positive(ms(p.SLO)) })[0]
		if least := slices.MinFunc(slo.Y, compare); least <= 4*top {
			slo.Name, slo.Colour, slo.Dashed, slo.Steps = "tightest SLO", plot.Grey, true, true
			lines = append(lines, slo)
		}
		figures = append(figures, chart("", timed("Latency, "+r.Policy, "latency, ms", lines)))
	}
	return figures
}

// compare puts NaN last.
func compare(a, b float64) int {
	switch {
	case a < b || math.IsNaN(b) && !math.IsNaN(a):
		return -1
	case a == b || math.IsNaN(a) && math.IsNaN(b):
		return 0
	}
	return 1
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// positive leaves a gap where there was nothing.
func positive(v float64) float64 {
	if v <= 0 {
		return math.NaN()
	}
	return v
}

type tailLine struct {
	suffix string
	of     *hdrhistogram.Histogram
	dashed bool
	unit   float64 // of a microsecond
}

// tails are the parts on the axis of a tail, each a nine further.
var tails = []float64{0, 50, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999}

// tail draws quantiles far into the tail.
func tail(title, about, y string, runs []*sim.Report, of func(*sim.Report) []tailLine) Figure {
	c := plot.Chart{Title: title, X: "part of them", Y: y, Zero: true}
	nines := func(q float64) float64 { return -math.Log10(1 - q/100) }
	for _, q := range []float64{0, 90, 99, 99.9, 99.99, 99.999} {
		c.Ticks = append(c.Ticks, plot.Tick{At: nines(q), Name: strconv.FormatFloat(q, 'f', -1, 64) + "%"})
	}
	for i, r := range runs {
		for _, t := range of(r) {
			line := plot.Series{Name: r.Policy + t.suffix, Colour: i, Dashed: t.dashed}
			for _, q := range tails {
				// A part smaller than one of them says nothing.
				if n := t.of.TotalCount(); n > 0 && (q == 0 || (1-q/100)*float64(n) >= 0.5) {
					line.X = append(line.X, nines(q))
					line.Y = append(line.Y, float64(t.of.ValueAtQuantile(q))*t.unit)
				}
			}
			c.Series = append(c.Series, line)
		}
	}
	return chart(about, c)
}

func batches(runs []*sim.Report) Figure {
	c := plot.Chart{Title: "Batch sizes", X: "requests in an execution", Y: "% of executions", Bars: true}
	for i, r := range runs {
		line := plot.Series{Name: r.Policy, Colour: i}
		all := 0
		for _, n := range r.Batches {
			all += n
		}
		for _, b := range r.Summary(0).Batches {
			line.X = append(line.X, float64(b.Items))
			line.Y = append(line.Y, 100*float64(b.Count)/float64(all))
		}
		c.Series = append(c.Series, line)
	}
	return chart("", c)
}

func batchesOverTime(runs []*sim.Report) Figure {
	return chart("", timed("Mean batch over time", "requests in an execution", over(runs, func(p sim.PointSummary) float64 { return positive(p.MeanBatch) })))
}

func coldStarts(runs []*sim.Report) Figure {
	return chart("Answers within the SLO that waited for their model's weights.", timed("Cold starts", "requests/s", over(runs, func(p sim.PointSummary) float64 { return rate(runs[0], p.Cold) })))
}

func loads(runs []*sim.Report) Figure {
	return chart("Transfers of a model's weights to a GPU.", timed("Weights loaded", "loads/s", over(runs, func(p sim.PointSummary) float64 { return rate(runs[0], p.Loads) })))
}

func useOverTime(title string, runs []*sim.Report, of func(sim.PointSummary) float64) Figure {
	c := timed(title+" over time", "% of the time", over(runs, func(p sim.PointSummary) float64 { return 100 * min(1, of(p)) }))
	c.Top = 100
	return chart("", c)
}

func usePerGPU(title string, runs []*sim.Report, of func(sim.UseSummary) float64) Figure {
	c := plot.Chart{Title: title, X: "GPU", Y: "% of the time", Bars: true, Top: 100}
	for i, r := range runs {
		line := plot.Series{Name: r.Policy, Colour: i}
		for g, u := range r.Summary(0).GPUs {
			line.X = append(line.X, float64(g))
			line.Y = append(line.Y, 100*of(u))
			if i == 0 && len(r.GPUs) <= 32 {
				c.Ticks = append(c.Ticks, plot.Tick{At: float64(g), Name: strconv.Itoa(g)})
			}
		}
		c.Series = append(c.Series, line)
	}
	return chart("", c)
}

func errorsOverTime(runs []*sim.Report) Figure {
	lines := over(runs, func(p sim.PointSummary) float64 { return float64(p.Over) / 1e3 })
	under := over(runs, func(p sim.PointSummary) float64 { return -float64(p.Under) / 1e3 })
	for i := range under {
		under[i].Name, under[i].Dashed = under[i].Name+", shorter", true
	}
	return chart("The worst of each window: longer than predicted above 0, shorter below.", timed("Worst errors over time", "error, us", append(lines, under...)))
}
