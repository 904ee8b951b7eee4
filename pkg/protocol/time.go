package protocol

import (
	"math"
	"strconv"
	"time"
)

// Time is an instant in nanoseconds on the active scheduler's monotonic clock. It is not
// wall time and is not comparable across scheduler epochs; workers convert at their
// edge.
type Time int64

// Never is later than every instant: an action with Latest = Never has no window, a
// state machine that returns wake = Never need not be woken.
const Never Time = math.MaxInt64

// Add returns t + d, and Never if that would overflow or t is Never.
func (t Time) Add(d time.Duration) Time {
	if t == Never || (d > 0 && int64(t) > math.MaxInt64-int64(d)) {
		return Never
	}
	return t + Time(d)
}

// Sub returns the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Milliseconds converts a duration for messages, with microsecond precision.
func Milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// String formats milliseconds with three decimals, or "never".
func (t Time) String() string {
	if t == Never {
		return "never"
	}
	return strconv.FormatFloat(float64(t)/1e6, 'f', 3, 64) + "ms"
}
