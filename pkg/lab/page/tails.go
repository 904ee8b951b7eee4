package page

import (
	"math"
	"strconv"

	"github.com/HdrHistogram/hdrhistogram-go"

	"clockwork/pkg/lab/plot"
	"clockwork/pkg/lab/sim"
)

// tailLine is one line of a run's tail chart. unit is the factor from
// microseconds to the axis.
type tailLine struct {
	suffix string
	of     *hdrhistogram.Histogram
	dashed bool
	unit   float64
}

// tails are the percentiles on the axis of a tail chart.
var tails = []float64{0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999}

func nines(q float64) float64 { return -math.Log10(1 - q/100) }

// tail returns a chart of quantiles far into the tail, on a logarithmic axis.
func tail(title, y string, runs []*sim.Report, of func(*sim.Report) []tailLine) plot.Chart {
	c := plot.Chart{Title: title, X: "part of them that does not exceed it", Y: y, Zero: true}
	for _, q := range []float64{0, 90, 99, 99.9, 99.99, 99.999} {
		c.Ticks = append(c.Ticks, plot.Tick{At: nines(q), Name: strconv.FormatFloat(q, 'f', -1, 64) + "%"})
	}
	for i, r := range runs {
		for _, t := range of(r) {
			line := plot.Series{Name: r.Policy + t.suffix, Colour: i, Dashed: t.dashed}
			for _, q := range tails {
				// Skip quantiles beyond the resolution of n samples.
				if n := t.of.TotalCount(); n > 0 && (q == 0 || (1-q/100)*float64(n) >= 0.5) {
					line.X = append(line.X, nines(q))
					line.Y = append(line.Y, float64(t.of.ValueAtQuantile(q))*t.unit)
				}
			}
			c.Series = append(c.Series, line)
		}
	}
	return c
}

func errorsTail(runs []*sim.Report) Figure {
	return chart("How much longer (solid) or shorter (dashed) executions took than predicted, of those that did.",
		tail("Prediction errors", "error, us", runs, func(r *sim.Report) []tailLine {
			return []tailLine{{"", r.Over, false, 1}, {", shorter", r.Under, true, 1}}
		}))
}

func errorsOverTime(runs []*sim.Report) Figure {
	lines := over(runs, func(p sim.PointSummary) float64 { return float64(p.Over) / 1e3 })
	under := over(runs, func(p sim.PointSummary) float64 { return -float64(p.Under) / 1e3 })
	for i := range under {
		under[i].Name, under[i].Dashed = under[i].Name+", shorter", true
	}
	return chart("The worst of each window: longer than predicted above 0, shorter below.", timed("Worst errors over time", "error, us", append(lines, under...)))
}
