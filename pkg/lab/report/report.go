package report

import (
	"slices"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// Sample is one request that has its outcome.
type Sample struct {
	Model string
	// Latency is from sending to the reply, whatever the reply said.
	Latency time.Duration
	// SLO is the request's latency target; 0 or less is none, which every
	// latency meets.
	SLO  time.Duration
	Code protocol.Code
	// Cold: the weights had to be loaded for this request.
	Cold bool
	// Batch is the size at which the request ran; 0 when it did not.
	Batch int
}

// InSLO reports whether the request was served, and in time.
func (s Sample) InSLO() bool {
	return s.Code == protocol.OK && (s.SLO <= 0 || s.Latency <= s.SLO)
}

// Summary is what the samples of one model, or all of them, come to.
// Requests = OK + the sum of Errors, and InSLO <= OK.
type Summary struct {
	Model    string `json:"model,omitempty"`
	Requests int    `json:"requests"`
	OK       int    `json:"ok"`
	InSLO    int    `json:"in_slo"`
	// Goodput is InSLO per second of the report's window.
	Goodput float64 `json:"goodput_rps"`
	// Cold counts the requests served that waited for weights; MeanBatch is
	// the mean batch size of those served, 0 when none was.
	Cold      int     `json:"cold"`
	MeanBatch float64 `json:"mean_batch"`
	// Errors counts requests by code, OK left out; ordered by code.
	Errors []ErrorCount `json:"errors,omitempty"`
	// Latency is of the requests served (code OK), in time or not.
	Latency Percentiles `json:"latency"`
}

// ErrorCount is how many requests ended with a code.
type ErrorCount struct {
	Code  protocol.Code `json:"code"`
	Count int           `json:"count"`
}

// ByCode is what counts by code come to, ordered by code; OK is left out.
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

// Percentiles are exact, by nearest rank: the value at p is the smallest one
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
	// Window is the time over which goodput is counted.
	Window time.Duration `json:"window_ns"`
	// Models are ordered by name.
	Models []Summary `json:"models"`
	Total  Summary   `json:"total"`
}

// New summarises samples of a run that lasted window. Without a positive
// window every goodput is 0. The samples are not changed.
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

// count keeps Errors ordered by code.
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

// Percentile returns the value at a share of perMille thousandths, by nearest
// rank, of values sorted upwards: 500 is the median, 1000 the maximum, 0 and
// less the minimum. It is 0 without values. Thousandths are whole numbers so
// that no rounding moves a rank.
func Percentile(sorted []time.Duration, perMille int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	perMille = max(0, min(1000, perMille))
	rank := (len(sorted)*perMille + 999) / 1000
	return sorted[max(rank, 1)-1]
}
