package lab

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"

	"clockwork/pkg/lab/bench"
	"clockwork/pkg/lab/page"
	"clockwork/pkg/lab/plot"
	"clockwork/pkg/watch/terminal"
)

// page returns the page about the run.
func (r benchResult) page() page.Page {
	p := page.Page{Title: r.title(), Notes: r.notes, Cards: r.cards()}
	if r.Interrupted {
		p.Notes = append(p.Notes, fmt.Sprintf("Interrupted before its %v were over.", r.Setting.Length))
	}
	p.Sections = []page.Section{
		{Title: "Requests", Figures: []page.Figure{r.goodputFigure(), r.outcomeFigure(), r.latencyFigure(), r.tailFigure()}},
		{Title: "In numbers", Tables: r.tables()},
	}
	return p
}

func (r benchResult) cards() []page.Card {
	t := r.Total
	cards := []page.Card{
		{Title: "goodput", Value: fmt.Sprintf("%.0f", t.Goodput), Unit: "requests/s", Colour: 2, Part: t.Share,
			Lines: []string{percent(t.Share) + " of what was offered", fmt.Sprintf("offered %.0f/s", t.OfferedRate)}},
		{Title: "latency", Value: milliseconds(t.Latency.P99, t.Latency.Samples), Unit: "ms at p99", Colour: 0, Part: -1,
			Lines: []string{"p50 " + terminal.Duration(t.Latency.P50), "max " + terminal.Duration(t.Latency.Max)}},
		{Title: "sent late", Value: milliseconds(r.Lateness.P99, r.Lateness.Samples), Unit: "ms at p99", Colour: plot.Grey, Part: -1,
			Lines: []string{"counted in the latencies", "max " + terminal.Duration(r.Lateness.Max)}},
	}
	if t.Cold > 0 {
		cards = append(cards, page.Card{Title: "cold starts", Value: strconv.Itoa(t.Cold), Colour: 1, Part: -1, Lines: []string{"waited for weights"}})
	}
	return cards
}

// series returns a line over the complete windows.
func (r benchResult) series(name string, colour int, of func(bench.Point) float64) plot.Series {
	line := plot.Series{Name: name, Colour: colour}
	for _, p := range r.whole() {
		line.X, line.Y = append(line.X, p.At.Seconds()), append(line.Y, of(p))
	}
	return line
}

func (r benchResult) whole() []bench.Point {
	all := r.Series
	if len(all) > 1 && all[len(all)-1].At+all[len(all)-1].Window > r.Window {
		all = all[:len(all)-1]
	}
	return all
}

func inSecond(p bench.Point, n int) float64 { return float64(n) / p.Window.Seconds() }

const sinceWarmup = "time since the warm-up, s"

func (r benchResult) goodputFigure() page.Figure {
	offered := r.series("offered", plot.Grey, func(p bench.Point) float64 { return inSecond(p, p.Offered) })
	offered.Dashed = true
	return page.Chart("Answered within the SLO, in each window by when the requests were due.", plot.Chart{
		Title: "Goodput", X: sinceWarmup, Y: "requests/s", Zero: true,
		Series: []plot.Series{r.series("goodput", 2, func(p bench.Point) float64 { return inSecond(p, p.InSLO) }), offered},
	})
}

// outcomeFigure stacks the outcomes of the requests of each window.
func (r benchResult) outcomeFigure() page.Figure {
	c := plot.Chart{Title: "Outcomes", X: "window", Y: "% of requests", Bars: true, Stacked: true, Top: 100}
	for _, kind := range []struct {
		name   string
		colour int
		of     func(bench.Point) int
	}{
		{"in SLO", 2, func(p bench.Point) int { return p.InSLO }}, {"late", 1, func(p bench.Point) int { return p.Late }},
		{"refused", 7, func(p bench.Point) int { return p.Refused }}, {"no answer", 4, func(p bench.Point) int { return p.NoAnswer }},
	} {
		line := plot.Series{Name: kind.name, Colour: kind.colour}
		for i, p := range r.whole() {
			if p.Offered > 0 {
				line.X, line.Y = append(line.X, float64(i)), append(line.Y, 100*float64(kind.of(p))/float64(p.Offered))
			}
		}
		c.Series = append(c.Series, line)
	}
	for i, p := range r.whole() {
		if s := p.At.Seconds(); s == math.Trunc(s) {
			c.Ticks = append(c.Ticks, plot.Tick{At: float64(i), Name: strconv.FormatFloat(s, 'f', 0, 64)})
		}
	}
	if len(c.Ticks) > 0 {
		c.X = sinceWarmup
	}
	return page.Chart("What became of the requests of each window.", c)
}

func (r benchResult) latencyFigure() page.Figure {
	of := func(name string, faint float64, value func(bench.Point) time.Duration) plot.Series {
		line := r.series(name, 0, func(p bench.Point) float64 {
			if value(p) == 0 {
				return math.NaN() // no request was served
			}
			return float64(value(p)) / 1e6
		})
		line.Faint = faint
		return line
	}
	longest := of("max", 0.3, func(p bench.Point) time.Duration { return p.Max })
	longest.Dashed = true
	lines := []plot.Series{
		of("p50", 0.5, func(p bench.Point) time.Duration { return p.P50 }), of("p99", 0, func(p bench.Point) time.Duration { return p.P99 }), longest,
	}
	return page.Chart("Of those served, from when they were due.", plot.Chart{Title: "Latency over time", X: sinceWarmup, Y: "latency, ms", Zero: true, Series: lines})
}

// benchTails are the percentiles of the latency curve.
var benchTails = []float64{0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.975, 99.99, 99.995, 99.999}

// nines returns the position of a percentile in the tail: 1 for 90, 2 for 99.
func nines(q float64) float64 { return -math.Log10(1 - q/100) }

func (r benchResult) tailFigure() page.Figure {
	c := plot.Chart{Title: "Latency by percentile", X: "part of the answers that does not exceed it", Y: "latency, ms", Zero: true}
	percents, values := r.Curve(benchTails)
	line := plot.Series{Name: "latency", Colour: 0}
	for i, q := range percents {
		line.X, line.Y = append(line.X, nines(q)), append(line.Y, float64(values[i])/1e6)
	}
	c.Series = []plot.Series{line}
	for _, q := range []float64{0, 90, 99, 99.9, 99.99, 99.999} {
		if len(percents) == 0 || q <= percents[len(percents)-1] {
			c.Ticks = append(c.Ticks, plot.Tick{At: nines(q), Name: strconv.FormatFloat(q, 'f', -1, 64) + "%"})
		}
	}
	return page.Chart("The further right, the rarer; as far as there are samples.", c)
}

// tables returns the total, the models and the comparison.
func (r benchResult) tables() []page.Table {
	t := r.Total
	total := page.Table{Columns: []string{"all models", ""}, Rows: [][]string{
		{"offered", strconv.Itoa(t.Offered)}, {"OK", strconv.Itoa(t.OK)}, {"in SLO", strconv.Itoa(t.InSLO)},
	}}
	for _, e := range t.Errors {
		total.Rows = append(total.Rows, []string{string(e.Code), strconv.Itoa(e.Count)})
	}
	if t.NoAnswer+t.Unfinished > 0 {
		total.Rows = append(total.Rows, []string{"no answer", strconv.Itoa(t.NoAnswer)}, []string{"open at the end", strconv.Itoa(t.Unfinished)})
	}
	for _, l := range []struct {
		name string
		d    time.Duration
	}{
		{"p50", t.Latency.P50}, {"p90", t.Latency.P90}, {"p99", t.Latency.P99}, {"p99.9", t.Latency.P999}, {"p99.99", t.Latency.P9999}, {"max", t.Latency.Max},
	} {
		if l.d > 0 {
			total.Rows = append(total.Rows, []string{l.name, terminal.Duration(l.d)})
		}
	}
	total.Rows = append(total.Rows, []string{"mean batch", fmt.Sprintf("%.2f", t.MeanBatch)}, []string{"cold starts", strconv.Itoa(t.Cold)})
	tables := []page.Table{total, r.modelTable()}
	if r.before != nil {
		compared := page.Table{Columns: []string{"compared", "then", "now", "ratio"}, Rows: r.comparison()}
		for _, d := range bench.Differences(r.before.Setting, r.Setting) {
			compared.Note = cmp.Or(compared.Note, "Not the same workload.") + " " + d + "."
		}
		tables = append(tables, compared)
	}
	return tables
}

// pageModels is how many models the page lists, the worst first.
const pageModels = 50

func (r benchResult) modelTable() page.Table {
	t := page.Table{}
	for _, c := range benchColumns {
		t.Columns = append(t.Columns, c.Title)
	}
	for _, m := range r.Worst(pageModels) {
		t.Rows = append(t.Rows, benchRow(m.Model, m))
	}
	if len(r.Models) > pageModels {
		t.Note = fmt.Sprintf("The %d of %d models with the smallest share in SLO.", pageModels, len(r.Models))
	}
	return t
}
