package clock

import (
	"context"
	"time"
)

// Pause waits for d, and returns false if ctx ended earlier.
func Pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
