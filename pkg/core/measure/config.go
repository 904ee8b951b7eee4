package measure

import (
	"fmt"
	"time"
)

// Config is the policy of a profiler.
type Config struct {
	// Issuer is this profiler's random identity; it must not be 0.
	Issuer uint64
	// Iterations is how often each action is measured; default 10.
	Iterations int
	// ActionTimeout is how long one action may take before it counts as one
	// without a result, and how long a GPU that is in use is left alone before it
	// is cleared again; default 30 s.
	ActionTimeout time.Duration
}

// DefaultConfig returns the defaults; the caller adds Issuer.
func DefaultConfig() Config { return Config{Iterations: 10, ActionTimeout: 30 * time.Second} }

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	switch {
	case c.Issuer == 0:
		return fmt.Errorf("the issuer is 0")
	case c.Iterations < 1:
		return fmt.Errorf("iterations is %d; it must be at least 1", c.Iterations)
	case c.ActionTimeout <= 0:
		return fmt.Errorf("action-timeout is %v; it must be positive", c.ActionTimeout)
	}
	return nil
}

const (
	// maxTries is how many times a unit may cost a GPU, which was lost or gave no
	// result, before the next time is a verdict.
	maxTries = 3
	// maxJams is how many times in a row a GPU may fail to be cleared before it
	// counts as hung. That is no fault of the unit's that would have come next.
	maxJams = 3
	// maxFailures is how often in a row one action may fail before its model counts
	// as one that cannot be measured. A unit is some 75 actions, so 3 would not do:
	// with a backend that fails one action in 5, every second model would be lost.
	maxFailures = 8
	// maxLost bounds the workers that are remembered as lost. A GPU of one beyond
	// them gives no results, which is found as well, only later.
	maxLost = 16384
)
