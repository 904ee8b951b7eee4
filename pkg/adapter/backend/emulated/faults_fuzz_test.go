package emulated

import (
	"math"
	"testing"
	"time"
)

// FuzzFaults: faults that pass make an action take some time, or fail, whatever
// they are.
func FuzzFaults(f *testing.F) {
	f.Add(0.1, 2.0, 10, int64(time.Millisecond), 10, int64(time.Millisecond))
	f.Add(math.NaN(), 1.0, 0, int64(0), 0, int64(time.Second))
	f.Add(1.0, math.NaN(), 0, int64(0), 0, int64(time.Second))
	f.Add(math.Inf(1), 1e300, 1, int64(math.MaxInt64), 1, int64(math.MaxInt64))
	f.Add(-1.0, -1.0, -1, int64(-1), -1, int64(1))
	f.Fuzz(func(t *testing.T, jitter, slow float64, stalls int, stall int64, fails int, took int64) {
		faults := Faults{Jitter: jitter, SlowDown: slow, StallEvery: stalls, Stall: time.Duration(stall), FailEvery: fails}
		if faults.Validate() != nil {
			return
		}
		d := time.Duration(took) % time.Hour // no model takes longer
		if d < 0 {
			return
		}
		source := newFaultSource(faults, 0)
		for range 4 {
			if got, err := source.apply(d); err == nil && (got < 0 || slow >= 1 && got < d) {
				t.Fatalf("%+v makes of %v %v", faults, d, got)
			}
		}
	})
}
