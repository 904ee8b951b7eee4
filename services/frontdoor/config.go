package frontdoor

import (
	"fmt"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/watch"
)

// Config is everything that can be set of a front door.
type Config struct {
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
	// NoClients: it takes no requests from clients; what waited for activation is
	// served by it where its controller leads.
	NoClients bool
	// StopWait is how long a front door that closes waits for the answers to what
	// it has taken.
	StopWait time.Duration
	// Observers are shown what the core is given and what it wants done, under the
	// lock: they wait for nothing.
	Observers frontdoor.Observers
	// Telemetry hears of the requests that the front door answers; nil is nobody.
	Telemetry *watch.Hub
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	c := Config{
		BufferTimeout:    10 * time.Second,
		BufferRequests:   50_000,
		BufferBytes:      1 << 30,
		DefaultSLO:       100 * time.Millisecond,
		MaxInFlight:      100_000,
		MaxInFlightBytes: 2 << 30,
		StopWait:         5 * time.Second,
	}
	c.Limits = quota.Default(min(int64(c.MaxInFlight), c.BufferRequests), min(c.MaxInFlightBytes, c.BufferBytes))
	return c
}

// Buffer is how the startup buffer is made.
func (c Config) Buffer() bus.BufferConfig {
	return bus.BufferConfig{Timeout: c.BufferTimeout, MaxRequests: c.BufferRequests, MaxBytes: c.BufferBytes}
}

// Validate names the first field that makes no sense.
func (c Config) Validate() error {
	if c.BufferTimeout <= 0 {
		return fmt.Errorf("buffer-timeout is %v; it must be positive", c.BufferTimeout)
	}
	if c.DefaultSLO <= 0 {
		return fmt.Errorf("default-slo is %v; it must be positive", c.DefaultSLO)
	}
	if c.BufferRequests <= 0 || c.BufferBytes <= 0 || c.MaxInFlight <= 0 || c.MaxInFlightBytes <= 0 {
		return fmt.Errorf("limits of requests and bytes must be positive")
	}
	if c.StopWait < 0 {
		return fmt.Errorf("stop-wait is %v; it must not be negative", c.StopWait)
	}
	return c.Limits.Validate()
}
