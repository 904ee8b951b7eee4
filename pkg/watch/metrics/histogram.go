package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Native buckets are those of Prometheus' schema 3: 1.1 is the widest that a bucket may
// be, which divides each power of two into 8. Below the threshold, about 1 us, all is
// in the bucket of zero; above, durations are few enough powers of two that no bound on
// the number of buckets is needed.
const bucketFactor = 1.1

var threshold = math.Exp2(-20)

// family is histograms of durations of one name and several labels.
type family struct{ *prometheus.HistogramVec }

// newFamily makes one without members. Its histograms have native buckets, and classic
// ones with these bounds if there are any.
func newFamily(name, help string, bounds []time.Duration, labels ...string) family {
	var ends []float64
	for _, b := range bounds {
		ends = append(ends, b.Seconds())
	}
	return family{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: ends, NativeHistogramBucketFactor: bucketFactor, NativeHistogramZeroThreshold: threshold,
	}, labels)}
}

// with is the member with these values of the labels.
func (f family) with(labels ...string) histogram { return histogram{f.WithLabelValues(labels...)} }

// histogram counts durations in seconds.
type histogram struct{ of prometheus.Observer }

// Observe counts a duration; less than none is none.
func (h histogram) Observe(d time.Duration) { h.of.Observe(max(d, 0).Seconds()) }
