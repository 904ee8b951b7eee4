package controller

import (
	"fmt"
	"time"

	"clockwork/pkg/core/startup"
	"clockwork/services/frontdoor"
)

// Config is everything that can be set of a controller.
type Config struct {
	// Config is of the controller's own front door.
	frontdoor.Config
	// LoadIdle is how long no load may be asked for or pending before loading
	// ends and profiling begins.
	LoadIdle time.Duration
	// LoadTimeout is how long the workers may take for one load.
	LoadTimeout time.Duration
	// MaxBatch bounds the batch sizes that models are loaded with, 0 for none.
	MaxBatch int
	// Observers are shown what the startup phase of each term is given and what it
	// wants done, in its goroutine; none by default.
	Observers startup.Observers
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Config:      frontdoor.DefaultConfig(),
		LoadIdle:    10 * time.Second,
		LoadTimeout: 60 * time.Second,
		MaxBatch:    16,
	}
}

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	if c.LoadIdle <= 0 {
		return fmt.Errorf("load-idle is %v; it must be positive", c.LoadIdle)
	}
	if c.LoadTimeout <= 0 {
		return fmt.Errorf("load-timeout is %v; it must be positive", c.LoadTimeout)
	}
	if c.MaxBatch < 0 {
		return fmt.Errorf("max-batch is %d; it must not be negative", c.MaxBatch)
	}
	return c.Config.Validate()
}
