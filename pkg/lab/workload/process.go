package workload

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// These bound the parameters of processes.
const (
	MaxRate    = 1e9
	MaxClients = 1 << 20
	MaxCount   = 100_000_000 // arrivals per minute
	MaxMinute  = 1_000_000
	MaxScale   = 1e4
)

// Process is an arrival process: Poisson, Fixed, Bursty, Closed, Counts or
// Times. It is data; a Source runs it.
type Process interface {
	validate() error
	// begin returns the running process; nil for Closed, whose next arrival depends
	// on answers.
	begin(seed func(concern uint64) rng) process
}

// process yields the times of an open loop's arrivals, ascending, as offsets
// from the start of its stream; Never ends it.
type process interface {
	next() protocol.Time
}

// Poisson is Poisson arrivals at Rate, in requests per second.
type Poisson struct{ Rate Schedule[float64] }

// Fixed is evenly spaced arrivals at Rate, in requests per second. The first
// comes after a random part of the interval, so that streams are not
// synchronised.
type Fixed struct{ Rate Schedule[float64] }

// Bursty is Poisson arrivals at Rate during bursts and none between them. The
// lengths of bursts and pauses are exponential with means Busy and Idle; the
// stream starts in the stationary state.
type Bursty struct {
	Rate       Schedule[float64]
	Busy, Idle time.Duration
}

// Closed is a closed loop: each of Clients waits for its answer, waits for
// Think, and sends again. Each starts at a random time within Ramp. After
// Requests in total (0: no limit) no client sends.
type Closed struct {
	Clients  int
	Think    time.Duration
	Ramp     time.Duration
	Requests int
}

// Counts replays a trace of counts: each minute has the given number of
// arrivals, at the times of a Poisson process with that number. Minute is the
// length of a minute, 0 for 60 s. Scale multiplies the counts of the minutes
// that start under it; nil keeps them. A fractional count is rounded up with the
// probability of its fraction, and bounded by MaxCount.
type Counts struct {
	Minutes []Count
	Minute  time.Duration
	Scale   Schedule[float64]
}

// Count is one minute's number of arrivals. Minutes without arrivals are left
// out.
type Count struct{ Minute, N uint32 }

// Times replays arrivals at these offsets from the stream's start, ascending.
type Times struct{ At []protocol.Time }

func (p Poisson) validate() error { return p.Rate.ordered("rate", between(0, MaxRate)) }
func (p Fixed) validate() error   { return p.Rate.ordered("rate", between(0, MaxRate)) }

func (p Bursty) validate() error {
	if p.Busy <= 0 || p.Idle <= 0 {
		return fmt.Errorf("bursts of %v and pauses of %v: both must last", p.Busy, p.Idle)
	}
	return p.Rate.ordered("rate", between(0, MaxRate))
}

func (p Closed) validate() error {
	if p.Clients < 1 || p.Clients > MaxClients || p.Think < 0 || p.Ramp < 0 || p.Requests < 0 {
		return fmt.Errorf("closed loop of %d clients, think %v, ramp %v, %d requests: 1 to %d clients, the rest 0 or more",
			p.Clients, p.Think, p.Ramp, p.Requests, MaxClients)
	}
	return nil
}

func (p Counts) validate() error {
	if p.Minute < 0 || p.Minute > time.Hour {
		return fmt.Errorf("a minute of %v: up to an hour", p.Minute)
	}
	for i, c := range p.Minutes {
		if c.N > MaxCount || c.Minute > MaxMinute || i > 0 && c.Minute <= p.Minutes[i-1].Minute {
			return fmt.Errorf("minute %d has %d arrivals: minutes must ascend to %d, counts be at most %d", c.Minute, c.N, MaxMinute, MaxCount)
		}
	}
	return p.Scale.ordered("scale", between(0, MaxScale))
}

func (p Times) validate() error {
	for i, t := range p.At {
		if t < 0 || i > 0 && t < p.At[i-1] {
			return fmt.Errorf("arrival %d at %v is earlier than the one before it", i, t)
		}
	}
	return nil
}

func (Closed) begin(func(uint64) rng) process  { return nil }
func (p Times) begin(func(uint64) rng) process { return &times{left: p.At} }

// times yields the times of a list.
type times struct{ left []protocol.Time }

func (t *times) next() protocol.Time {
	if len(t.left) == 0 {
		return protocol.Never
	}
	at := t.left[0]
	t.left = t.left[1:]
	return at
}
