package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var header = []string{"model", "requests", "ok", "in SLO", "goodput r/s", "p50 ms", "p99 ms", "max ms"}

// WriteTable writes the report as aligned text: one row per model, a total
// where there are several, then a line per error code. Latencies are in
// milliseconds, of the requests served; a dash where none was.
func (r Report) WriteTable(w io.Writer) error {
	rows := [][]string{header}
	for _, m := range r.Models {
		rows = append(rows, row(m.Model, m))
	}
	if len(r.Models) != 1 {
		rows = append(rows, row("total", r.Total))
	}
	var out strings.Builder
	align(&out, rows)
	for _, e := range r.Total.Errors {
		fmt.Fprintf(&out, "%d x %s: %s\n", e.Count, e.Code, e.Code.Row().Sentence)
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func row(name string, s Summary) []string {
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

// align sets the first column to the left and the others to the right.
func align(out *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, cells := range rows {
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, cells := range rows {
		for i, cell := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				out.WriteString(cell + pad)
			} else {
				out.WriteString("  " + pad + cell)
			}
		}
		out.WriteByte('\n')
	}
}
