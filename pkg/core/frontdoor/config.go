package frontdoor

import (
	"time"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
)

// Config is what a front door is and what it may hold.
type Config struct {
	// ID is this front door's random identity.
	ID uint64
	// Subjects tell clients' inboxes from subjects of the stack.
	Subjects protocol.Subjects
	// DefaultSLO holds for requests that name none.
	DefaultSLO time.Duration
	// MaxInFlight and MaxInFlightBytes are where OVERLOADED begins: requests without
	// an answer, and their payloads.
	MaxInFlight      int
	MaxInFlightBytes int64
	// MaxInFlightOutputs bounds the bytes of the outputs of these requests, which workers may
	// send at any time.
	MaxInFlightOutputs int64
	// MaxPayload is the largest input that can be sent to a worker.
	MaxPayload int64
	// Limits are what tenants and models may have.
	Limits quota.Rules
	// SlowSlots bounds how many JSON bodies are decoded beside other work, a large one
	// counting as LargeSlots; StoreSlots how many requests are on their way into the
	// startup buffer. A tenant has at most a quarter of either.
	SlowSlots, LargeSlots, StoreSlots int
	// EarlyBytes bounds the outputs that wait for the notice of their dispatch; one worker
	// has at most a quarter of it. Those beyond are dropped.
	EarlyBytes int
	// LargeBody is the size in bytes from which a body is large.
	LargeBody int
	// LargeInput is the size in bytes up to which payloads may share a message. A worker
	// keeps a whole message until its last payload is executed, so larger ones are sent
	// alone, one at a time (Output.LargeInput).
	LargeInput int
	// BufferTimeout is how long a request may wait for activation.
	BufferTimeout time.Duration
	// Claims bounds how many requests of the startup buffer are claimed at a time.
	Claims int
}

// Defaults returns the default of each bound that is the front door's own business.
func Defaults() Config {
	return Config{SlowSlots: 1024, LargeSlots: 16, StoreSlots: 4096, EarlyBytes: 64 << 20, LargeBody: 64 << 10, LargeInput: 32 << 10, Claims: 64}
}
