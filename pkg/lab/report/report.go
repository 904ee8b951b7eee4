package report

import (
	"slices"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// Sample is one finished request.
type Sample struct {
	Model string
	// Latency is from sending to the reply, whatever its code.
	Latency time.Duration
	// SLO is the request's latency target; 0 or less means none, which every latency
	// meets.
	SLO  time.Duration
	Code protocol.Code
	// Cold: the weights had to be loaded for this request.
	Cold bool
	// Batch is the batch size of its execution; 0 if it was not executed.
	Batch int
}

// InSLO reports whether the request was served in time.
func (s Sample) InSLO() bool {
	return s.Code == protocol.OK && (s.SLO <= 0 || s.Latency <= s.SLO)
}

// Summary summarises the samples of one model, or of all. Requests = OK + the
// sum of Errors, and InSLO <= OK.
type Summary struct {
	Model    string `json:"model,omitempty"`
	Requests int    `json:"requests"`
	OK       int    `json:"ok"`
	InSLO    int    `json:"in_slo"`
	// Goodput is InSLO per second of the report's window.
	Goodput float64 `json:"goodput_rps"`
	// Cold counts the served requests that waited for weights. MeanBatch is the mean
	// batch size of the served requests, 0 if there is none.
	Cold      int     `json:"cold"`
	MeanBatch float64 `json:"mean_batch"`
	// Errors counts requests by code, without OK; sorted by code.
	Errors []ErrorCount `json:"errors,omitempty"`
	// Latency is of the served requests (code OK), in time or not.
	Latency Percentiles `json:"latency"`
}

// ErrorCount is the number of requests that ended with a code.
type ErrorCount struct {
	Code  protocol.Code `json:"code"`
	Count int           `json:"count"`
}

// ByCode returns counts by code as a list sorted by code, without OK.
func ByCode(counts map[protocol.Code]int) []ErrorCount {
	var all []ErrorCount
	for code, n := range counts {
		if code != protocol.OK {
			all = append(all, ErrorCount{code, n})
		}
	}
	slices.SortFunc(all, func(a, b ErrorCount) int { return strings.Compare(string(a.Code), string(b.Code)) })
	return all
}

// Percentiles are exact, by nearest rank: the value at p is the smallest value
// that at least the share p of all values does not exceed, so each is a latency
// that occurred. All are 0 without values. JSON is in nanoseconds.
type Percentiles struct {
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p99_9_ns"`
	Max  time.Duration `json:"max_ns"`
}

// Report is the summary of a run.
type Report struct {
	// Window is the duration over which goodput is counted.
	Window time.Duration `json:"window_ns"`
	// Models are sorted by name.
	Models []Summary `json:"models"`
	Total  Summary   `json:"total"`
}

// New summarises the samples of a run that lasted window. If window is not
// positive, every goodput is 0. The samples are not changed.
func New(samples []Sample, window time.Duration) Report {
	sorted := slices.Clone(samples)
	slices.SortStableFunc(sorted, func(a, b Sample) int { return strings.Compare(a.Model, b.Model) })
	report := Report{Window: window, Models: []Summary{}, Total: summarize(sorted, window)}
	for len(sorted) > 0 {
		model := sorted[0].Model
		n := slices.IndexFunc(sorted, func(s Sample) bool { return s.Model != model })
		if n < 0 {
			n = len(sorted)
		}
		summary := summarize(sorted[:n], window)
		summary.Model = model
		report.Models = append(report.Models, summary)
		sorted = sorted[n:]
	}
	return report
}

func summarize(samples []Sample, window time.Duration) Summary {
	sum := Summary{Requests: len(samples)}
	var latencies []time.Duration
	items := 0
	for _, s := range samples {
		if s.InSLO() {
			sum.InSLO++
		}
		if s.Code != protocol.OK {
			sum.count(s.Code)
			continue
		}
		sum.OK++
		items += s.Batch
		if s.Cold {
			sum.Cold++
		}
		latencies = append(latencies, s.Latency)
	}
	if sum.OK > 0 {
		sum.MeanBatch = float64(items) / float64(sum.OK)
	}
	if window > 0 {
		sum.Goodput = float64(sum.InSLO) / window.Seconds()
	}
	slices.Sort(latencies)
	sum.Latency = percentiles(latencies)
	return sum
}

// count increments the count of code; Errors stays sorted by code.
func (s *Summary) count(code protocol.Code) {
	at, found := slices.BinarySearchFunc(s.Errors, code, func(e ErrorCount, c protocol.Code) int {
		return strings.Compare(string(e.Code), string(c))
	})
	if !found {
		s.Errors = slices.Insert(s.Errors, at, ErrorCount{Code: code})
	}
	s.Errors[at].Count++
}

func percentiles(sorted []time.Duration) Percentiles {
	return Percentiles{
		P50: Percentile(sorted, 500), P90: Percentile(sorted, 900), P99: Percentile(sorted, 990),
		P999: Percentile(sorted, 999), Max: Percentile(sorted, 1000),
	}
}

// Percentile returns the value at rank perMille/1000 (nearest rank) of values in
// ascending order: 500 is the median, 1000 the maximum, 0 and less the minimum.
// It is 0 without values. perMille is a whole number so that no rounding changes
// a rank.
func Percentile(sorted []time.Duration, perMille int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	perMille = max(0, min(1000, perMille))
	rank := (len(sorted)*perMille + 999) / 1000
	return sorted[max(rank, 1)-1]
}
