package workload

import (
	"fmt"
	"math"
	"time"

	"clockwork/pkg/protocol"
)

// Schedule is a value that changes over time: each step holds from its offset
// to the next one's. Before the first step the value is zero. Offsets ascend.
type Schedule[T any] []Step[T]

// Step is one value of a Schedule.
type Step[T any] struct {
	From  time.Duration
	Value T
}

// Always is the schedule that never changes.
func Always[T any](value T) Schedule[T] { return Schedule[T]{{Value: value}} }

// Growing is a schedule that begins at first and is put through grow every
// period, for as long as the value is at most last.
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

// SLO is what a request asks for: a duration or, where Factor is set, so many
// times the execution time of its model at batch 1. Zero leaves it to the
// server.
type SLO struct {
	Fixed  time.Duration
	Factor float64
}

// Within is the SLO that stays d.
func Within(d time.Duration) Schedule[SLO] { return Always(SLO{Fixed: d}) }

// Factors turns a schedule of numbers into one of SLO factors.
func Factors(s Schedule[float64]) Schedule[SLO] {
	var slos Schedule[SLO]
	for _, step := range s {
		slos = append(slos, Step[SLO]{step.From, SLO{Factor: step.Value}})
	}
	return slos
}

// ordered checks that offsets ascend from 0 on, and each value by valid.
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

// cursor walks along a schedule; it is asked for ascending times only. It
// carries the current step, so that mostly no other memory is read.
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
