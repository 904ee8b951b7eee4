package page

import (
	"math"
	"slices"
	"time"

	"clockwork/pkg/lab/plot"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/protocol"
)

// bySLO shows the share in SLO by SLO, if there are several.
func bySLO(runs []*sim.Report) []Figure {
	c := plot.Chart{Title: "In SLO, by SLO", X: "SLO, ms", Y: "% in SLO", LogX: true, Zero: true, Top: 100}
	for i, r := range runs {
		line := plot.Series{Name: r.Policy, Colour: i, Dots: true}
		for _, class := range r.Classes {
			if class.SLO < protocol.MaxSLO { // without the requests that have no real SLO
				line.X, line.Y = append(line.X, ms(class.SLO)), append(line.Y, 100*class.Share())
			}
		}
		c.Series = append(c.Series, line)
	}
	if len(c.Series[0].X) < 2 {
		return nil
	}
	return []Figure{chart("Of all requests with an SLO, those answered in it.", c)}
}

// latencies returns one chart of all policies and one per policy.
func latencies(runs []*sim.Report) []Figure {
	figures := []Figure{latencyTail(runs)}
	for _, r := range runs {
		figures = append(figures, latencyOverTime(r, slices.Index(runs, r), longest(runs)))
	}
	return figures
}

// latencyTail includes the SLO as a line if all requests share one.
func latencyTail(runs []*sim.Report) Figure {
	c := tail("Latency against the SLO", "latency, ms", runs, func(r *sim.Report) []tailLine {
		return []tailLine{{"", r.Latency, false, 1e-3}}
	})
	if classes := runs[0].Classes; len(classes) == 1 && ms(classes[0].SLO) <= 4*longest(runs) {
		slo := ms(classes[0].SLO)
		c.Series = append(c.Series, plot.Series{
			Name: "SLO", Colour: plot.Grey, Dashed: true, X: []float64{nines(0), nines(99.999)}, Y: []float64{slo, slo},
		})
	}
	return chart("Of the answers within their SLO.", c)
}

// longest returns the longest latency of all runs, in ms.
func longest(runs []*sim.Report) (top float64) {
	for _, r := range runs {
		for _, p := range points(r) {
			top = max(top, ms(p.Latency.Max))
		}
	}
	return top
}

// percentiles are the latency lines of a policy, all in its colour.
var percentiles = []struct {
	name   string
	dashed bool
	faint  float64
	of     func(sim.PointSummary) time.Duration
}{
	{"p50", false, 0.5, func(p sim.PointSummary) time.Duration { return p.Latency.P50 }},
	{"p99", false, 0, func(p sim.PointSummary) time.Duration { return p.Latency.P99 }},
	{"max", true, 0.3, func(p sim.PointSummary) time.Duration { return p.Latency.Max }},
}

func latencyOverTime(r *sim.Report, colour int, top float64) Figure {
	of := func(value func(sim.PointSummary) time.Duration) plot.Series {
		return over([]*sim.Report{r}, func(p sim.PointSummary) float64 { return positive(ms(value(p))) })[0]
	}
	var lines []plot.Series
	for _, q := range percentiles {
		line := of(q.of)
		line.Name, line.Colour, line.Dashed, line.Faint = q.name, colour, q.dashed, q.faint
		lines = append(lines, line)
	}
	slo := of(func(p sim.PointSummary) time.Duration { return p.SLO })
	for i := range slo.Y {
		if slo.Y[i] > 4*top { // an SLO far above all latencies would flatten the other lines
			slo.Y[i] = math.NaN()
		}
	}
	if slices.ContainsFunc(slo.Y, func(v float64) bool { return v > 0 }) {
		slo.Name, slo.Colour, slo.Dashed, slo.Steps = "tightest SLO", plot.Grey, true, true
		lines = append(lines, slo)
	}
	return chart("", timed("Latency over time, "+r.Policy, "latency, ms", lines))
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// positive returns NaN, a gap in the line, for values that are not positive.
func positive(v float64) float64 {
	if v <= 0 {
		return math.NaN()
	}
	return v
}
