package bench

import (
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the histogram's upper bound; longer latencies count as longest.
const longest = 2 * time.Hour

// fine and coarse are the significant digits of histograms: a resolution of 0.1
// % and 1 %.
const (
	fine   = 3
	coarse = 2
)

// histogram counts durations in microseconds. nil counts as empty.
type histogram struct{ of *hdrhistogram.Histogram }

func newHistogram(digits int) *histogram {
	return &histogram{hdrhistogram.New(1, longest.Microseconds(), digits)}
}

// add counts d, rounded up, so that a duration just above an SLO is not shown as
// within it.
func (h *histogram) add(d time.Duration) {
	us := (d + time.Microsecond - 1) / time.Microsecond
	_ = h.of.RecordValue(int64(min(max(us, 0), longest/time.Microsecond))) // cannot fail: the value is in range
}

func (h *histogram) at(percent float64) time.Duration {
	return time.Duration(h.of.ValueAtQuantile(percent)) * time.Microsecond
}

// Percentiles have three significant digits, two in reports with hundreds of
// models. A percentile that fewer than ten samples exceed would be chance: P999
// and P9999 are 0 (and left out of JSON) below 10,000 and 100,000 samples. JSON
// is in nanoseconds.
type Percentiles struct {
	Samples int64         `json:"samples"`
	P50     time.Duration `json:"p50_ns"`
	P90     time.Duration `json:"p90_ns"`
	P99     time.Duration `json:"p99_ns"`
	P999    time.Duration `json:"p99_9_ns,omitempty"`
	P9999   time.Duration `json:"p99_99_ns,omitempty"`
	Max     time.Duration `json:"max_ns"`
}

// These are the numbers of samples required for P999 and P9999.
const (
	enoughFor999  = 10_000
	enoughFor9999 = 100_000
)

func (h *histogram) percentiles() Percentiles {
	if h == nil || h.of.TotalCount() == 0 {
		return Percentiles{}
	}
	p := Percentiles{
		Samples: h.of.TotalCount(), P50: h.at(50), P90: h.at(90), P99: h.at(99),
		Max: time.Duration(h.of.Max()) * time.Microsecond,
	}
	if p.Samples >= enoughFor999 {
		p.P999 = h.at(99.9)
	}
	if p.Samples >= enoughFor9999 {
		p.P9999 = h.at(99.99)
	}
	return p
}

// curve returns the histogram's value at each of the given percentages, without
// those that no sample exceeds.
func (h *histogram) curve(percents []float64) (share []float64, value []time.Duration) {
	if h == nil || h.of.TotalCount() == 0 {
		return nil, nil
	}
	for _, q := range percents {
		if (1-q/100)*float64(h.of.TotalCount()) >= 1 || q == 0 {
			share, value = append(share, q), append(value, h.at(q))
		}
	}
	return share, value
}

// write writes the histogram in HdrHistogram's percentile format, in
// milliseconds.
func (h *histogram) write(w io.Writer) error {
	const ticks, microsecondsPerMillisecond = 5, 1000
	_, err := h.of.PercentilesPrint(w, ticks, microsecondsPerMillisecond)
	return err
}
