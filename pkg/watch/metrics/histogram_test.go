package metrics

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// theirs is what the library itself makes of the same durations.
func theirs(bounds []time.Duration) prometheus.Histogram {
	var ends []float64
	for _, b := range bounds {
		ends = append(ends, b.Seconds())
	}
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "h", Buckets: ends, NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: threshold,
	})
}

func written(t *testing.T, m prometheus.Metric) *dto.Metric {
	t.Helper()
	out := &dto.Metric{}
	if err := m.Write(out); err != nil {
		t.Fatal(err)
	}
	out.Histogram.CreatedTimestamp = nil
	return out
}

func TestHistogramsAreThoseOfTheLibrary(t *testing.T) {
	for _, bounds := range [][]time.Duration{latencyBounds, workBounds, errorBounds, stepBounds} {
		ours, library := newFamily("h", "", bounds).with(), theirs(bounds)
		observe := func(d time.Duration) {
			ours.Observe(d)
			library.Observe(float64(d) / 1e9)
		}
		draw := rand.New(rand.NewPCG(1, 2))
		for range 20_000 {
			observe(time.Duration(math.Exp(draw.Float64() * math.Log(4e12)))) // 1 ns to 4000 s
		}
		for _, b := range bounds {
			observe(b - 1)
			observe(b)
			observe(b + 1)
		}
		for power := -19; power <= 11; power++ { // ends of native buckets
			end := time.Duration(math.Exp2(float64(power)) * 1e9)
			observe(end)
			observe(end + 1)
		}
		got, want := written(t, ours), written(t, library)
		if d := math.Abs(got.Histogram.GetSampleSum()/want.Histogram.GetSampleSum() - 1); d > 1e-9 {
			t.Errorf("sums differ by %g of them", d)
		}
		want.Histogram.SampleSum = got.Histogram.SampleSum
		if got.String() != want.String() {
			t.Errorf("the library's and ours:\n%v\n%v", want, got)
		}
	}
}

func TestDurationsOutOfRangeAreCountedAtTheEdges(t *testing.T) {
	h := newFamily("h", "", latencyBounds).with()
	for _, d := range []time.Duration{-time.Second, 0, 1, math.MaxInt64 / 4} {
		h.Observe(d)
	}
	got := written(t, h).Histogram
	if got.GetSampleCount() != 4 || got.GetZeroCount() != 3 || len(got.GetPositiveDelta()) != 1 || got.GetPositiveDelta()[0] != 1 {
		t.Errorf("%v", got)
	}
}

func TestAScrapeMeanwhileIsWhole(t *testing.T) {
	h := newFamily("h", "", latencyBounds).with()
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for i := range 20_000 {
				h.Observe(time.Duration(i) * us)
			}
		})
	}
	for range 200 {
		got := written(t, h).Histogram
		inBuckets, here := got.GetZeroCount(), int64(0)
		for _, delta := range got.GetPositiveDelta() {
			here += delta
			inBuckets += uint64(here)
		}
		if inBuckets != got.GetSampleCount() {
			t.Fatalf("%d in native buckets, count %d", inBuckets, got.GetSampleCount())
		}
		if last := got.GetBucket()[len(latencyBounds)-1].GetCumulativeCount(); last > got.GetSampleCount() {
			t.Fatalf("%d in classic buckets, count %d", last, got.GetSampleCount())
		}
	}
	writers.Wait()
}

func BenchmarkObserve(b *testing.B) {
	h := newFamily("h", "", latencyBounds).with()
	b.ReportAllocs()
	d := us
	for b.Loop() {
		h.Observe(d)
		if d = d * 101 / 100; d > 10*s {
			d = us
		}
	}
}

func BenchmarkObserveByTheLibrary(b *testing.B) {
	h := theirs(latencyBounds)
	b.ReportAllocs()
	d := us
	for b.Loop() {
		h.Observe(d.Seconds())
		if d = d * 101 / 100; d > 10*s {
			d = us
		}
	}
}
