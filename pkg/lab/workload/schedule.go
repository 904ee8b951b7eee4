package workload

import (
	"fmt"
	"math"
	"time"

	"clockwork/pkg/protocol"
)

// Schedule is a value that changes over time: each step holds from its offset to
// the next one's. Before the first step the value is zero. Offsets ascend.
type Schedule[T any] []Step[T]

// Step is one value of a Schedule.
type Step[T any] struct {
	From  time.Duration
	Value T
}

// Always returns a schedule with a constant value.
func Always[T any](value T) Schedule[T] { return Schedule[T]{{Value: value}} }

// Growing returns a schedule that starts at first and applies grow every period,
// while the value is at most last.
func Growing(first, last float64, period time.Duration, grow func(float64) float64) Schedule[float64] {
	var s Schedule[float64]
	for v, from := first, time.Duration(0); v <= last; v, from = grow(v), from+period {
		s = append(s, Step[float64]{from, v})
		if grow(v) <= v {
			break // it would never end
		}
	}
	return s
}

// SLO is a request's SLO: a duration or, if Factor is set, that many times the
// execution time of its model at batch 1. The zero value leaves the SLO to the
// server.
type SLO struct {
	Fixed  time.Duration
	Factor float64
}

// Within returns the constant SLO d.
func Within(d time.Duration) Schedule[SLO] { return Always(SLO{Fixed: d}) }

// Factors turns a schedule of numbers into one of SLO factors.
func Factors(s Schedule[float64]) Schedule[SLO] {
	var slos Schedule[SLO]
	for _, step := range s {
		slos = append(slos, Step[SLO]{step.From, SLO{Factor: step.Value}})
	}
	return slos
}

// ordered checks that offsets ascend from 0 on, and each value with valid.
func (s Schedule[T]) ordered(what string, valid func(T) bool) error {
	for i, step := range s {
		if step.From < 0 || i > 0 && step.From <= s[i-1].From {
			return fmt.Errorf("%s: step %d begins at %v, not after the one before it", what, i, step.From)
		}
		if !valid(step.Value) {
			return fmt.Errorf("%s: step %d has the value %v", what, i, step.Value)
		}
	}
	return nil
}

func between(low, high float64) func(float64) bool {
	return func(v float64) bool { return v >= low && v <= high && !math.IsNaN(v) }
}

func validSLO(s SLO) bool {
	return s.Fixed >= 0 && s.Fixed <= protocol.MaxSLO && between(0, 1e9)(s.Factor) && (s.Fixed == 0 || s.Factor == 0)
}

// cursor walks along a schedule; times must ascend. It holds the current step,
// so that most calls read no other memory.
type cursor[T any] struct {
	value T
	until protocol.Time
	later Schedule[T]
}

func newCursor[T any](s Schedule[T]) cursor[T] {
	c := cursor[T]{later: s}
	c.until = c.end()
	return c
}

// at returns the value at t, and until when it holds.
func (c *cursor[T]) at(t protocol.Time) (T, protocol.Time) {
	for t >= c.until && len(c.later) > 0 {
		c.value, c.later = c.later[0].Value, c.later[1:]
		c.until = c.end()
	}
	return c.value, c.until
}

func (c *cursor[T]) end() protocol.Time {
	if len(c.later) == 0 {
		return protocol.Never
	}
	return protocol.Time(c.later[0].From)
}
