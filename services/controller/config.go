package controller

import (
	"fmt"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/watch"
)

// Config is everything that can be set of a controller.
type Config struct {
	// LoadIdle is how long no load may be asked for or pending before loading
	// ends and profiling begins.
	LoadIdle time.Duration
	// LoadTimeout is how long the workers may take for one load.
	LoadTimeout time.Duration
	// BufferTimeout is how long a request may wait for activation.
	BufferTimeout time.Duration
	// BufferRequests and BufferBytes are where BUFFER_FULL begins.
	BufferRequests int64
	BufferBytes    int64
	// DefaultSLO holds for requests that name none.
	DefaultSLO time.Duration
	// MaxInFlight and MaxInFlightBytes are where a front door answers
	// OVERLOADED: requests without an answer, and their payloads.
	MaxInFlight      int
	MaxInFlightBytes int64
	// Limits are what tenants and models may have of one front door, also while
	// their requests wait in the startup buffer: where it answers LIMIT_EXCEEDED.
	Limits quota.Rules
	// StopWait is how long a front door that closes waits for the answers to what
	// it has taken.
	StopWait time.Duration
	// Telemetry hears of the requests that the front door answers; nil is nobody.
	Telemetry *watch.Hub
	// MaxBatch bounds the batch sizes that models are loaded with, 0 for none.
	MaxBatch int
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	c := Config{
		LoadIdle:         10 * time.Second,
		LoadTimeout:      60 * time.Second,
		BufferTimeout:    10 * time.Second,
		BufferRequests:   50_000,
		BufferBytes:      1 << 30,
		DefaultSLO:       100 * time.Millisecond,
		MaxInFlight:      100_000,
		MaxInFlightBytes: 2 << 30,
		StopWait:         5 * time.Second,
		MaxBatch:         16,
	}
	c.Limits = quota.Default(min(int64(c.MaxInFlight), c.BufferRequests), min(c.MaxInFlightBytes, c.BufferBytes))
	return c
}

func (c Config) buffer() bus.BufferConfig {
	return bus.BufferConfig{Timeout: c.BufferTimeout, MaxRequests: c.BufferRequests, MaxBytes: c.BufferBytes}
}

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"load-idle", c.LoadIdle}, {"load-timeout", c.LoadTimeout},
		{"buffer-timeout", c.BufferTimeout}, {"default-slo", c.DefaultSLO},
	} {
		if d.value <= 0 {
			return fmt.Errorf("%s is %v; it must be positive", d.name, d.value)
		}
	}
	if c.BufferRequests <= 0 || c.BufferBytes <= 0 || c.MaxInFlight <= 0 || c.MaxInFlightBytes <= 0 {
		return fmt.Errorf("limits of requests and bytes must be positive")
	}
	if c.StopWait < 0 {
		return fmt.Errorf("stop-wait is %v; it must not be negative", c.StopWait)
	}
	if c.MaxBatch < 0 {
		return fmt.Errorf("max-batch is %d; it must not be negative", c.MaxBatch)
	}
	return c.Limits.Validate()
}
