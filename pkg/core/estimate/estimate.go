// Package estimate predicts durations as a percentile of a rolling window of
// measurements, as the original Clockwork does (OSDI 2020, section 5.2; window
// 10, p99).
//
// The scheduling core keeps one Estimator per (model, batch size, GPU type) and
// one per weight transfer. The package is pure and has no lock: one goroutine
// owns an Estimator. It neither rejects outliers nor follows trends; the caller
// filters.
package estimate

import (
	"fmt"
	"slices"
	"time"
)

// Config sets the window and the percentile of an Estimator.
type Config struct {
	// Window is how many of the latest samples count; default 10, at most 4096.
	Window int
	// Percentile is in (0, 100]; default 99, linearly interpolated.
	Percentile float64
}

// Defaults returns the original's values: 10 samples, p99.
func Defaults() Config { return Config{Window: 10, Percentile: 99} }

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	if c.Window < 1 || c.Window > 4096 {
		return fmt.Errorf("the window of estimates is %d; it must be from 1 to 4096", c.Window)
	}
	if !(c.Percentile > 0 && c.Percentile <= 100) {
		return fmt.Errorf("the percentile of estimates is %v; it must be above 0 and at most 100", c.Percentile)
	}
	return nil
}

// Estimator is a rolling-window percentile. Invariant: sorted holds exactly
// the samples of ring, ascending; both have at most Window of them.
type Estimator struct {
	config Config
	ring   []time.Duration
	sorted []time.Duration
	// oldest is the index in ring of the sample that the next one replaces, once it is full.
	oldest int
	// value is the percentile, seed what it is before the first sample.
	value time.Duration
	seed  time.Duration
}

// New returns an Estimator whose value is seed (a profile's p99) until the first
// sample. The config must be valid; New panics otherwise.
func New(config Config, seed time.Duration) *Estimator {
	if err := config.Validate(); err != nil {
		panic(err)
	}
	return &Estimator{config: config, value: seed, seed: seed}
}

// Add adds a sample and, if the window is full, removes the oldest. O(window).
func (e *Estimator) Add(d time.Duration) {
	if len(e.ring) < e.config.Window {
		e.ring = append(e.ring, d)
	} else {
		gone, _ := slices.BinarySearch(e.sorted, e.ring[e.oldest])
		e.sorted = slices.Delete(e.sorted, gone, gone+1)
		e.ring[e.oldest] = d
		e.oldest = (e.oldest + 1) % len(e.ring)
	}
	at, _ := slices.BinarySearch(e.sorted, d)
	e.sorted = slices.Insert(e.sorted, at, d)
	e.value = Percentile(e.sorted, e.config.Percentile)
}

// Forget removes the largest sample. Otherwise an outlier could stay for ever,
// if the high estimate prevents the work that would give new samples.
func (e *Estimator) Forget() {
	n := len(e.sorted)
	if n == 0 {
		return
	}
	worst := e.sorted[n-1]
	e.sorted = e.sorted[:n-1]
	inOrder := append(slices.Clone(e.ring[e.oldest:]), e.ring[:e.oldest]...)
	at := slices.Index(inOrder, worst)
	e.ring, e.oldest = append(e.ring[:0], slices.Delete(inOrder, at, at+1)...), 0
	if n > 1 {
		e.value = Percentile(e.sorted, e.config.Percentile)
	} else {
		e.value = e.seed
	}
}

// Value returns the current estimate, in O(1).
func (e *Estimator) Value() time.Duration { return e.value }

// Median returns the middle sample, or the seed if there is none, in O(1).
func (e *Estimator) Median() time.Duration {
	if len(e.sorted) == 0 {
		return e.seed
	}
	return e.sorted[len(e.sorted)/2]
}

// Samples returns how many samples the window holds.
func (e *Estimator) Samples() int { return len(e.ring) }

// Percentile returns a percentile of sorted samples, at least one: it interpolates linearly
// between the two nearest ranks.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	rank := p / 100 * float64(len(sorted)-1)
	low := int(rank)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + time.Duration((rank-float64(low))*float64(sorted[low+1]-sorted[low]))
}
