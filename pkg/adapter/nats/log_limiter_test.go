package bus

import (
	"fmt"
	"testing"
	"time"
)

// TestATallyIsToldOfOncePerSecond, and counts what came in between: who sends what
// is ignored, or denied by the broker, cannot fill a log.
func TestATallyIsToldOfOncePerSecond(t *testing.T) {
	var limiter logLimiter
	now := time.Unix(1000, 0)
	var told []int
	for range 30 { // three seconds
		if n := limiter.Add(now); n > 0 {
			told = append(told, n)
		}
		now = now.Add(100 * time.Millisecond)
	}
	if fmt.Sprint(told) != "[1 10 10]" {
		t.Errorf("told of %v", told)
	}
}
