package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Figure is one figure of two runs.
type Figure struct {
	Name      string
	Then, Now float64
	// Unit is "r/s", "%", "ms", or "" for a count.
	Unit string
}

// Ratio returns Now/Then; false if Then is not positive.
func (f Figure) Ratio() (float64, bool) { return f.Now / f.Then, f.Then > 0 }

// Compare returns the figures of two runs. Percentiles that one of them lacks
// are left out.
func Compare(then, now *Report) []Figure {
	a, b := then.Total, now.Total
	figures := []Figure{
		{"offered", a.OfferedRate, b.OfferedRate, "r/s"},
		{"goodput", a.Goodput, b.Goodput, "r/s"},
		{"in SLO", 100 * a.Share, 100 * b.Share, "%"},
	}
	for _, l := range []struct {
		name string
		of   func(Percentiles) time.Duration
	}{
		{"p50", func(p Percentiles) time.Duration { return p.P50 }}, {"p90", func(p Percentiles) time.Duration { return p.P90 }},
		{"p99", func(p Percentiles) time.Duration { return p.P99 }}, {"p99.9", func(p Percentiles) time.Duration { return p.P999 }},
		{"p99.99", func(p Percentiles) time.Duration { return p.P9999 }}, {"max", func(p Percentiles) time.Duration { return p.Max }},
	} {
		if x, y := l.of(a.Latency), l.of(b.Latency); x > 0 && y > 0 {
			figures = append(figures, Figure{l.name, ms(x), ms(y), "ms"})
		}
	}
	figures = append(figures, Figure{"mean batch", a.MeanBatch, b.MeanBatch, ""}, count("cold starts", a.Cold, b.Cold))
	for _, code := range codes(a, b) {
		figures = append(figures, count(code, refused(a, code), refused(b, code)))
	}
	if a.NoAnswer+b.NoAnswer > 0 {
		figures = append(figures, count("no answer", a.NoAnswer, b.NoAnswer))
	}
	return append(figures, Figure{"sent late, p99", ms(then.Lateness.P99), ms(now.Lateness.P99), "ms"})
}

func count(name string, then, now int) Figure { return Figure{name, float64(then), float64(now), ""} }

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// codes returns the error codes of both, sorted.
func codes(a, b Summary) []string {
	var all []string
	for _, e := range slices.Concat(a.Errors, b.Errors) {
		all = append(all, string(e.Code))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func refused(s Summary, code string) int {
	for _, e := range s.Errors {
		if string(e.Code) == code {
			return e.Count
		}
	}
	return 0
}

// Differences lists how two settings differ; with differences a comparison of
// their figures means little.
func Differences(then, now Setting) []string {
	var all []string
	if !slices.Equal(then.Loads, now.Loads) {
		all = append(all, fmt.Sprintf("models: %s then, %s now", brief(then.Loads), brief(now.Loads)))
	}
	for _, part := range []struct{ name, then, now string }{
		{"workload", then.Workload, now.Workload},
		{"seed", fmt.Sprint(then.Seed), fmt.Sprint(now.Seed)},
		{"length", fmt.Sprint(then.Length), fmt.Sprint(now.Length)},
		{"warm-up", fmt.Sprint(then.Warmup), fmt.Sprint(now.Warmup)},
		{"inputs", then.Payload, now.Payload},
		{"connections", fmt.Sprint(then.Connections), fmt.Sprint(now.Connections)},
	} {
		if part.then != part.now {
			all = append(all, fmt.Sprintf("%s: %s then, %s now", part.name, part.then, part.now))
		}
	}
	return append(all, optionDifferences(then.Options, now.Options)...)
}

// brief abbreviates a list.
func brief(list []string) string {
	if len(list) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:3], ", "), len(list)-3)
	}
	return strings.Join(list, ", ")
}

func optionDifferences(then, now []Option) []string {
	var names []string
	for _, o := range slices.Concat(then, now) {
		if !slices.Contains(names, o.Name) {
			names = append(names, o.Name)
		}
	}
	var all []string
	for _, name := range names {
		if a, b := value(then, name), value(now, name); a != b {
			all = append(all, fmt.Sprintf("%s: %s then, %s now", name, a, b))
		}
	}
	return all
}

func value(options []Option, name string) string {
	for _, o := range options {
		if o.Name == name {
			return o.Value
		}
	}
	return "as the workload has it"
}
