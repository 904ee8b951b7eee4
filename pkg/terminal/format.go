package terminal

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration prints three significant digits in the unit people would use: "0",
// "850 ns", "12.3 us", "4.56 ms", "1.20 s", then "2m05s" and "1h02m".
func Duration(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < 0:
		return "-" + Duration(-max(d, -math.MaxInt64))
	case d >= time.Hour-time.Minute/2:
		m := d.Round(time.Minute) / time.Minute
		return fmt.Sprintf("%dh%02dm", m/60, m%60)
	case d >= time.Minute-50*time.Millisecond:
		s := d.Round(time.Second) / time.Second
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	}
	return scaled(float64(d)/1e3, 1000, "us", "ms", "s")
}

// Bytes prints three significant digits in binary units: "0 B", "1023 B",
// "1.50 KiB", "102 MiB".
func Bytes(n int64) string {
	if n < 0 {
		return "-" + Bytes(-max(n, -math.MaxInt64))
	}
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	return scaled(float64(n)/1024, 1024, "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
}

// scaled prints v in the first unit in which it rounds to less than step.
func scaled(v, step float64, units ...string) string {
	for len(units) > 1 && v >= step-0.5 {
		v, units = v/step, units[1:]
	}
	decimals := 0
	switch {
	case v < 9.995:
		decimals = 2
	case v < 99.95:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + units[0]
}

// Column is a column of a table. Right sets it to the right, as numbers are.
type Column struct {
	Title string
	Right bool
}

// WriteTable writes a line of titles and a line per row, in aligned columns two
// spaces apart. A row may be short: its last cells are empty. One with more
// cells than there are columns is refused before anything is written.
func WriteTable(w io.Writer, columns []Column, rows [][]string) error {
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.Title
	}
	lines := append([][]string{titles}, rows...)
	widths := make([]int, len(columns))
	for n, cells := range lines {
		if len(cells) > len(columns) {
			return fmt.Errorf("write table: row %d has %d cells for %d columns", n, len(cells), len(columns))
		}
		for i, cell := range cells {
			widths[i] = max(widths[i], columnsOf(safe(cell)))
		}
	}
	var out strings.Builder
	for _, cells := range lines {
		out.WriteString(tableLine(columns, widths, cells) + "\n")
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

func tableLine(columns []Column, widths []int, cells []string) string {
	var line strings.Builder
	for i, cell := range cells {
		cell = safe(cell)
		pad := spaces(widths[i] - columnsOf(cell))
		if i > 0 {
			line.WriteString("  ")
		}
		if columns[i].Right {
			line.WriteString(pad + cell)
		} else {
			line.WriteString(cell + pad)
		}
	}
	return strings.TrimRight(line.String(), " ")
}
