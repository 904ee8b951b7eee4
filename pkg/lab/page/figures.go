package page

import (
	"math"
	"slices"
	"strconv"

	"clockwork/pkg/lab/plot"
	"clockwork/pkg/lab/sim"
)

// Figures shows runs of the same workload, one per policy: in one chart where
// each policy is one line, else in adjacent charts.
func Figures(runs []*sim.Report) []Section {
	sections := []Section{
		{Title: "Requests", Figures: slices.Concat([]Figure{goodput(runs), missing(runs)}, bySLO(runs), latencies(runs))},
		{Title: "Work", Figures: append([]Figure{
			batches(runs), batchesOverTime(runs), coldStarts(runs), loads(runs),
			useOverTime("GPU use", runs, func(p sim.PointSummary) float64 { return p.GPU }),
			useOverTime("PCIe use", runs, func(p sim.PointSummary) float64 { return p.PCIe }),
		}, uses(runs)...)},
		{Title: "Predictions", Figures: []Figure{errorsTail(runs), errorsOverTime(runs)}},
	}
	if shown := timelines(runs); len(shown) > 0 {
		sections = append(sections, Section{Title: "What each GPU did at first", Figures: shown})
	}
	return sections
}

// over returns one line per policy of a value over time.
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

// points returns the complete windows within the workload's length.
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
			continue // clients that retry at once after a refusal would dwarf the other lines
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

// uses compares the GPUs of a run, if there are several.
func uses(runs []*sim.Report) []Figure {
	if len(runs[0].GPUs) < 2 {
		return nil
	}
	return []Figure{
		usePerGPU("GPU use by GPU", runs, func(u sim.UseSummary) float64 { return u.GPU }),
		usePerGPU("PCIe use by GPU", runs, func(u sim.UseSummary) float64 { return u.PCIe }),
	}
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
