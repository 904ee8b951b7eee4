package ask

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"clockwork/pkg/lab/report"
	"clockwork/pkg/watch/terminal"
)

var summaryColumns = []terminal.Column{
	{Title: "model"}, {Title: "requests", Right: true}, {Title: "ok", Right: true, Drop: 1}, {Title: "in SLO", Right: true},
	{Title: "goodput r/s", Right: true, Drop: 4}, {Title: "p50 ms", Right: true, Drop: 2}, {Title: "p99 ms", Right: true},
	{Title: "max ms", Right: true, Drop: 3},
}

// PrintSummary prints a row for each model, a total if there are several, then a line
// for each error code. Latencies are those of the served requests; a dash if there are
// none.
func PrintSummary(w io.Writer, width int, r report.Report) error {
	var rows [][]string
	for _, m := range r.Models {
		rows = append(rows, summaryRow(m.Model, m))
	}
	if len(r.Models) != 1 {
		rows = append(rows, summaryRow("total", r.Total))
	}
	if err := terminal.WriteTable(w, width, summaryColumns, rows); err != nil {
		return err
	}
	for _, e := range r.Total.Errors {
		fmt.Fprintf(w, "%d x %s: %s\n", e.Count, e.Code, e.Code.Row().Sentence)
	}
	return nil
}

func summaryRow(name string, s report.Summary) []string {
	cells := []string{name, strconv.Itoa(s.Requests), strconv.Itoa(s.OK), strconv.Itoa(s.InSLO),
		strconv.FormatFloat(s.Goodput, 'f', 1, 64)}
	for _, latency := range []time.Duration{s.Latency.P50, s.Latency.P99, s.Latency.Max} {
		cell := "-"
		if s.OK > 0 {
			cell = strconv.FormatFloat(float64(latency)/1e6, 'f', 2, 64)
		}
		cells = append(cells, cell)
	}
	return cells
}
