package frontdoor

import (
	"fmt"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Config is the configuration of a front door.
type Config struct {
	// BufferTimeout bounds how long a request may wait for activation.
	BufferTimeout time.Duration
	// BufferRequests and BufferBytes bound the startup buffer; beyond them:
	// BUFFER_FULL.
	BufferRequests int64
	BufferBytes    int64
	// DefaultSLO applies to requests without an SLO.
	DefaultSLO time.Duration
	// MaxInFlight and MaxInFlightBytes bound the requests without an answer, and
	// their payloads; beyond them: OVERLOADED. The bytes stay below bus.MaxWaiting, or a
	// broker may drop inputs of a worker that is sent all of them.
	MaxInFlight      int
	MaxInFlightBytes int64
	// MaxInFlightOutputs bounds the outputs of these requests, also below bus.MaxWaiting: workers
	// may send all of them at a time. Beyond it: OVERLOADED.
	MaxInFlightOutputs int64
	// Limits bound each tenant and model at one front door, including requests in
	// the startup buffer; beyond them: LIMIT_EXCEEDED.
	Limits quota.Rules
	// NoClients: the front door takes no requests from clients. In the leading
	// controller it still serves the requests that waited for activation.
	NoClients bool
	// Health is the kind of service as which it answers health checks.
	Health protocol.ServiceKind
	// StopWait bounds the wait of a stopping front door for the answers to its
	// requests.
	StopWait time.Duration
	// Observers receive the core's events and outputs, under the lock: they must not
	// block.
	Observers frontdoor.Observers
	// Telemetry is the hub that receives the answered requests; nil for none.
	Telemetry *watch.Hub
}

// taking is how a front door of this configuration takes requests.
func (c *Config) taking() protocol.ServiceState {
	switch {
	case !c.NoClients:
		return protocol.FrontDoorOpen
	case c.Health == protocol.Gateway:
		return protocol.FrontDoorGateway
	}
	return protocol.FrontDoorClosed
}

// maxWait bounds how long a request may wait for activation: whoever sent it is not there
// for longer.
const maxWait = 24 * time.Hour

func DefaultConfig() Config {
	c := Config{
		Health:           protocol.FrontDoor,
		BufferTimeout:    10 * time.Second,
		BufferRequests:   50_000,
		BufferBytes:      1 << 30,
		DefaultSLO:       100 * time.Millisecond,
		MaxInFlight:      100_000,
		MaxInFlightBytes: 384 << 20,

		MaxInFlightOutputs: 384 << 20,
		StopWait:           5 * time.Second,
	}
	c.Limits = quota.Default(min(int64(c.MaxInFlight), c.BufferRequests), min(c.MaxInFlightBytes, c.BufferBytes))
	return c
}

// Buffer returns the configuration of the startup buffer.
func (c Config) Buffer() bus.BufferConfig {
	return bus.BufferConfig{Timeout: c.BufferTimeout, MaxRequests: c.BufferRequests, MaxBytes: c.BufferBytes}
}

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error {
	if c.BufferTimeout <= 0 || c.BufferTimeout > maxWait {
		return fmt.Errorf("buffer-timeout is %v; it must be positive and at most %v", c.BufferTimeout, maxWait)
	}
	if c.DefaultSLO <= 0 || c.DefaultSLO > protocol.MaxSLO {
		return fmt.Errorf("default-slo is %v; it must be positive and at most %v, as the SLO of a request", c.DefaultSLO, protocol.MaxSLO)
	}
	if c.BufferRequests <= 0 || c.BufferBytes <= 0 || c.MaxInFlight <= 0 || c.MaxInFlightBytes <= 0 || c.MaxInFlightOutputs <= 0 {
		return fmt.Errorf("limits of requests and bytes must be positive")
	}
	if c.StopWait < 0 {
		return fmt.Errorf("stop-wait is %v; it must not be negative", c.StopWait)
	}
	return c.Limits.Validate()
}
