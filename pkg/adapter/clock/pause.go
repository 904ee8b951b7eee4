package clock

import (
	"context"
	"time"
)

// Pause waits, and reports false when ctx ended before.
func Pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
