package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Native buckets follow Prometheus' schema 3: the bounds of a bucket differ by a factor
// of at most 1.1, which gives 8 buckets per power of two. Values below the threshold,
// about 1 us, are in the zero bucket; above it durations span few powers of two, so that
// the number of buckets needs no bound.
const bucketFactor = 1.1

var threshold = math.Exp2(-20)

// family is a set of duration histograms with one name and several labels.
type family struct{ *prometheus.HistogramVec }

// newFamily returns a family without members. Its histograms have native buckets, and
// classic ones with these bounds if there are any.
func newFamily(name, help string, bounds []time.Duration, labels ...string) family {
	var ends []float64
	for _, b := range bounds {
		ends = append(ends, b.Seconds())
	}
	return family{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: ends, NativeHistogramBucketFactor: bucketFactor, NativeHistogramZeroThreshold: threshold,
	}, labels)}
}

// with returns the member with these label values.
func (f family) with(labels ...string) histogram { return histogram{f.WithLabelValues(labels...)} }

// histogram counts durations in seconds.
type histogram struct{ of prometheus.Observer }

// Observe counts a duration; a negative one counts as 0.
func (h histogram) Observe(d time.Duration) { h.of.Observe(max(d, 0).Seconds()) }
