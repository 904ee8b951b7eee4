package protocol

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestAHistogramKnowsQuantilesToATenth(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 {
		t.Error("of nothing there is a quantile")
	}
	for i := 1; i <= 1000; i++ {
		h.Add(time.Duration(i) * 100 * time.Microsecond)
	}
	for share, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		if got := h.Quantile(share); got < want || float64(got) > 1.1*float64(want) {
			t.Errorf("quantile %v is %v, want %v to a tenth more", share, got, want)
		}
	}
}

func TestAHistogramHoldsEveryDuration(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{math.MinInt64, -1, 0, 1, time.Microsecond, time.Hour, math.MaxInt64} {
		h.Add(d)
	}
	if h.Count() != 7 {
		t.Errorf("%d of 7", h.Count())
	}
}

func TestAHistogramComesBackFromJSON(t *testing.T) {
	var h, back, sum Histogram
	h.Add(time.Millisecond)
	h.Add(time.Second)
	body, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &back); err != nil {
		t.Fatal(err)
	}
	sum.Merge(h)
	sum.Merge(back)
	if back.Count() != 2 || back.Quantile(0.5) != h.Quantile(0.5) || sum.Count() != 4 {
		t.Errorf("%s came back as %v", body, back)
	}
	for _, bad := range []string{`[[-1,1]]`, `[[232,1]]`, `[[1,-1]]`, `[[1,4294967296]]`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

func TestAnswersAreCountedByWhoseFaultTheyAre(t *testing.T) {
	var a Answers
	for _, code := range []Code{OK, DeadlineExceeded, LimitExceeded, Internal, InvalidInput, UnknownModel} {
		a.Count(code)
	}
	if want := (Answers{Served: 1, Missed: 3, Wrong: 2}); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
}
