package measure

import (
	"slices"
	"testing"
	"time"
)

// The simulator rounded the 99th percentile up where production interpolated.
func TestSummariesAreOrderedAndInterpolated(t *testing.T) {
	samples := []time.Duration{50, 10, 40, 20, 30}
	m := Summarize(samples)
	if m.Min != 10 || m.P50 != 30 || m.P99 != 49 || m.Max != 50 || m.Samples != 5 {
		t.Errorf("%+v: the 99th percentile of these lies at 49.6, rounded down", m)
	}
	if !slices.Equal(samples, []time.Duration{50, 10, 40, 20, 30}) {
		t.Error("the samples were reordered")
	}
	if m := Summarize([]time.Duration{10, 20}); m.P50 != 15 || m.P99 != 19 {
		t.Errorf("%+v: the median of two lies between them", m)
	}
	if m := Summarize([]time.Duration{7}); !m.Valid() || m.Min != 7 || m.P99 != 7 || m.Max != 7 {
		t.Errorf("%+v: one sample is all of them", m)
	}
	for _, absurd := range [][]time.Duration{nil, {0, 1, 2}, {-1, 1, 2}, {1, 2, time.Hour + 1}} {
		if Summarize(absurd).Valid() {
			t.Errorf("%v is valid", absurd)
		}
	}
}
