package summary

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// durations is a histogram of durations up to an hour.
type durations struct {
	counted *hdrhistogram.Histogram // in ticks
	longest time.Duration
}

// tick is the resolution.
const tick = 100 * time.Nanosecond

// add counts a duration; a negative one counts by its absolute value.
func (d *durations) add(took time.Duration) {
	took = took.Abs()
	d.longest = max(d.longest, took)
	if d.counted == nil {
		d.counted = hdrhistogram.New(1, int64(time.Hour/tick), 2)
	}
	_ = d.counted.RecordValue(min(int64(took/tick), d.counted.HighestTrackableValue())) // it is in range
}

// at returns the given percentile, in units.
func (d *durations) at(percent float64, unit time.Duration) float64 {
	if d.counted == nil {
		return 0
	}
	return rounded(float64(d.counted.ValueAtQuantile(percent)) * float64(tick) / float64(unit))
}

// max returns the longest duration, in units.
func (d *durations) max(unit time.Duration) float64 {
	return rounded(float64(d.longest) / float64(unit))
}

func (d *durations) reset() {
	d.longest = 0
	if d.counted != nil {
		d.counted.Reset()
	}
}

// rounded rounds to three decimals.
func rounded(x float64) float64 { return math.Round(x*1000) / 1000 }
