package protocol

import (
	"testing"
	"time"
)

func TestAProfileIsInterpolatedBetweenMeasuredSizes(t *testing.T) {
	at := func(batch int, d time.Duration) BatchMeasurement {
		return BatchMeasurement{Batch: batch, Measurement: Measurement{P50: d / 2, P99: d}}
	}
	p := Profile{Infer: []BatchMeasurement{at(2, 20), at(4, 40), at(8, 60)}}
	for batch, want := range map[int]time.Duration{1: 20, 2: 20, 3: 30, 4: 40, 6: 50, 8: 60, 9: 60} {
		if got := p.Interpolated(batch, P99Of); got != want {
			t.Errorf("p99 of %d is %v, want %v", batch, got, want)
		}
		if got := p.Interpolated(batch, P50Of); got != want/2 {
			t.Errorf("p50 of %d is %v, want %v", batch, got, want/2)
		}
	}
	if got := (&Profile{}).Interpolated(1, P99Of); got != 0 {
		t.Errorf("of nothing it is %v", got)
	}
}
