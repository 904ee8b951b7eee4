package terminal

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Duration formats a duration with three significant digits in a fitting unit: "0", "850
// ns", "12.3 us", "4.56 ms", "1.20 s", then "2m05s" and "1h02m".
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

// Bytes formats a size with three significant digits in binary units: "0 B", "1023 B",
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

// scaled formats v in the first unit in which v rounds to less than step.
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

// Clip makes text safe to show and cuts it to columns, with an ellipsis if anything was
// cut.
func Clip(text string, columns int) string { return clip(safe(text), columns) }

// Columns returns how many columns a safe text takes.
func Columns(text string) int { return columnsOf(text) }
