package metrics

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func written(t *testing.T, h histogram) *dto.Metric {
	t.Helper()
	out := &dto.Metric{}
	if err := h.of.(prometheus.Metric).Write(out); err != nil {
		t.Fatal(err)
	}
	out.Histogram.CreatedTimestamp = nil
	return out
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
