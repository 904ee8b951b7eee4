package measure

import (
	"fmt"
	"time"
)

// Config holds the settings of a profiler.
type Config struct {
	// Issuer is this profiler's random identity; it must not be 0.
	Issuer uint64
	// Iterations is the number of measurements per action; default 10.
	Iterations int
	// ActionTimeout is how long the machine waits for the result of an action. It is
	// also the pause before a GPU that is in use is cleared again. Default 30 s.
	ActionTimeout time.Duration
}

// DefaultConfig returns the defaults; the caller must set Issuer.
// maxIterations is more than any median needs; a stack that measures longer does not
// serve.
const maxIterations = 10_000

func DefaultConfig() Config { return Config{Iterations: 10, ActionTimeout: 30 * time.Second} }

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error {
	switch {
	case c.Issuer == 0:
		return fmt.Errorf("the issuer is 0")
	case c.Iterations < 1 || c.Iterations > maxIterations:
		return fmt.Errorf("iterations is %d; it must be from 1 to %d", c.Iterations, maxIterations)
	case c.ActionTimeout <= 0:
		return fmt.Errorf("action-timeout is %v; it must be positive", c.ActionTimeout)
	}
	return nil
}

const (
	// maxTries is how many GPUs a unit may cost (a GPU was lost or gave no result).
	// One more and the unit gets a verdict.
	maxTries = 3
	// maxJams is how many times in a row ClearCache may fail on a GPU before the GPU
	// counts as hung. The next unit in line is not blamed.
	maxJams = 3
	// maxFailures is how many times in a row one action may fail before its unit
	// gets a verdict. A unit has about 75 actions, so 3 would not do: with a backend
	// that fails one action in 5, every second model would be lost.
	maxFailures = 8
	// maxLost bounds the workers remembered as lost. GPUs of further lost workers
	// are detected later, by their missing results.
	maxLost = 16384
)
