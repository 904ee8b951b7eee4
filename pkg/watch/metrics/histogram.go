package metrics

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// histogram counts durations in native and in classic buckets. The library's own does
// the same for any number, at twice the price, and each request is observed some 16
// times; a test holds this one to it.
type histogram struct {
	*family
	labels []string
	sum    atomic.Int64 // nanoseconds
	// native[i] counts those of at most 2^((lowest+i)/8) s and above that of i-1; the
	// first has all below, the last all above.
	native [spans + 1]atomic.Uint64
	// classic[i] counts those of at most bounds[i]; the last has those above all.
	classic []atomic.Uint64
}

// Native buckets are those of Prometheus' schema 3, which divides each power of two
// into 8, from about 1 us to 68 min.
const (
	schema  = 3
	each    = 1 << schema
	lowest  = -20 * each
	highest = 12 * each
	spans   = highest - lowest
)

// within are where the buckets of a power of two end, as the bits behind the point
// of a float.
var within = func() (bits [each]uint64) {
	for i := range bits {
		bits[i] = math.Float64bits(math.Exp2(float64(i)/each)) & fraction
	}
	return bits
}()

const (
	fractionBits = 52
	fraction     = 1<<fractionBits - 1
	bias         = 1023
)

// bucket is the place in native of a number of seconds that is not negative.
func bucket(seconds float64) int {
	bits := math.Float64bits(seconds)
	at := (int(bits>>fractionBits) - bias) * each
	for _, end := range within {
		if bits&fraction > end {
			at++
		}
	}
	return min(max(at-lowest, 0), spans)
}

// Observe counts a duration; less than none is none.
func (h *histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.sum.Add(int64(d))
	h.native[bucket(float64(d)/1e9)].Add(1) // before classic: see Write
	if len(h.classic) == 0 {
		return
	}
	at := 0
	for at < len(h.bounds) && d > h.bounds[at] {
		at++
	}
	h.classic[at].Add(1)
}

// Desc implements prometheus.Metric.
func (h *histogram) Desc() *prometheus.Desc { return h.desc }

// Write implements prometheus.Metric. The count is that of the native buckets:
// Prometheus refuses a histogram whose buckets hold another number. What is observed
// meanwhile may be missing from the classic ones, which are read first, never more.
func (h *histogram) Write(to *dto.Metric) error {
	classic := make([]*dto.Bucket, len(h.bounds))
	below := uint64(0)
	for i, bound := range h.bounds {
		below += h.classic[i].Load()
		end, count := bound.Seconds(), below
		classic[i] = &dto.Bucket{UpperBound: &end, CumulativeCount: &count}
	}
	zero, positive, count := h.native[0].Load(), map[int]int64{}, uint64(0)
	for i := 1; i <= spans; i++ {
		if n := h.native[i].Load(); n > 0 {
			positive[lowest+i] = int64(n)
			count += n
		}
	}
	sum := time.Duration(h.sum.Load()).Seconds()
	native, err := prometheus.NewConstNativeHistogram(h.desc, count+zero, sum, positive, nil, zero, schema, threshold, h.since, h.labels...)
	if err != nil {
		return err
	}
	if err := native.Write(to); err != nil {
		return err
	}
	to.Histogram.Bucket = classic
	return nil
}

// threshold is up to where everything is in the bucket of zero.
var threshold = math.Exp2(lowest / each)

// family is histograms of one name and several labels.
type family struct {
	desc   *prometheus.Desc
	bounds []time.Duration
	since  time.Time

	mu      sync.Mutex
	members []*histogram
}

// newFamily makes one without members; without bounds its histograms are native
// alone.
func newFamily(name, help string, bounds []time.Duration, labels ...string) *family {
	return &family{desc: prometheus.NewDesc(name, help, labels, nil), bounds: bounds, since: time.Now()}
}

// with makes the member with these values of the labels. It is called once for each.
func (f *family) with(labels ...string) *histogram {
	h := &histogram{family: f, labels: labels}
	if len(f.bounds) > 0 {
		h.classic = make([]atomic.Uint64, len(f.bounds)+1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members = append(f.members, h)
	return h
}

// Describe implements prometheus.Collector.
func (f *family) Describe(to chan<- *prometheus.Desc) { to <- f.desc }

// Collect implements prometheus.Collector.
func (f *family) Collect(to chan<- prometheus.Metric) {
	f.mu.Lock()
	members := slices.Clone(f.members)
	f.mu.Unlock()
	for _, h := range members {
		to <- h
	}
}
