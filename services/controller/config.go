package controller

import (
	"fmt"
	"time"

	"clockwork/pkg/core/startup"
	"clockwork/services/frontdoor"
)

// Config is the configuration of a controller.
type Config struct {
	// Config is that of the controller's own front door.
	frontdoor.Config
	// LoadIdle is how long loading stays open without a new or pending load; then
	// profiling begins.
	LoadIdle time.Duration
	// LoadTimeout bounds one load on the workers.
	LoadTimeout time.Duration
	// MaxBatch bounds the batch sizes of loaded models, 0 for no bound.
	MaxBatch int
	// StoreCheckEvery is the interval in which the leading controller checks that the store
	// has what was written to it.
	StoreCheckEvery time.Duration
	// Observers receive the events and outputs of each term's startup phase, in its
	// goroutine; none by default.
	Observers startup.Observers
}

// largestBatch is the largest batch that a model may state.
const largestBatch = 1024

// maxPhase bounds the settings of the startup phase: with a longer one a stack would in
// effect never serve.
const maxPhase = 24 * time.Hour

func DefaultConfig() Config {
	return Config{
		Config:      frontdoor.DefaultConfig(),
		LoadIdle:    10 * time.Second,
		LoadTimeout: 60 * time.Second,
		MaxBatch:    16,

		StoreCheckEvery: 2 * time.Second,
	}
}

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error {
	if c.LoadIdle <= 0 || c.LoadIdle > maxPhase {
		return fmt.Errorf("load-idle is %v; it must be positive and at most %v", c.LoadIdle, maxPhase)
	}
	if c.LoadTimeout <= 0 || c.LoadTimeout > maxPhase {
		return fmt.Errorf("load-timeout is %v; it must be positive and at most %v", c.LoadTimeout, maxPhase)
	}
	if c.MaxBatch < 0 || c.MaxBatch > largestBatch {
		return fmt.Errorf("max-batch is %d; it must be from 0 to %d", c.MaxBatch, largestBatch)
	}
	if c.StoreCheckEvery <= 0 || c.StoreCheckEvery > maxPhase {
		return fmt.Errorf("store-check-every is %v; it must be positive and at most %v", c.StoreCheckEvery, maxPhase)
	}
	return c.Config.Validate()
}
