package workload

import (
	"time"

	"clockwork/pkg/protocol"
)

// counts replays counts per minute. Given their number, the arrival times of a
// Poisson process are sorted uniform draws; those equal the partial sums of
// exponential draws divided by their total. A copy of the rng draws ahead to
// compute the total, so nothing is stored.
type counts struct {
	rng, rounding rng
	left          []Count
	minute        time.Duration
	scale         cursor[float64]

	begin      protocol.Time // of the current minute
	n          int           // remaining arrivals in the minute
	sum, total float64
}

func (p Counts) begin(seed func(uint64) rng) process {
	c := &counts{rng: seed(forArrivals), rounding: seed(forCounts), left: p.Minutes, minute: p.Minute, scale: newCursor(p.Scale)}
	if p.Minute == 0 {
		c.minute = time.Minute
	}
	if p.Scale == nil {
		c.scale = newCursor(Always(1.0))
	}
	return c
}

func (c *counts) next() protocol.Time {
	for c.n == 0 {
		if len(c.left) == 0 {
			return protocol.Never
		}
		c.turn(c.left[0])
		c.left = c.left[1:]
	}
	c.sum += c.rng.exp()
	c.n--
	if c.n == 0 {
		c.rng.exp() // the gap to the end of the minute
	}
	into := time.Duration(float64(c.minute) * (c.sum / c.total))
	return c.begin.Add(min(into, c.minute-1))
}

// turn goes to the next minute with counts.
func (c *counts) turn(m Count) {
	c.begin = protocol.Time(m.Minute) * protocol.Time(c.minute)
	scale, _ := c.scale.at(c.begin)
	c.n = c.scaled(m.N, scale)
	c.sum, c.total = 0, 0
	if c.n == 0 {
		return
	}
	for ahead, i := c.rng, 0; i <= c.n; i++ {
		c.total += ahead.exp()
	}
}

func (c *counts) scaled(n uint32, scale float64) int {
	if scale == 1 {
		return int(n)
	}
	return min(int(float64(float64(n)*scale)+c.rounding.float()), MaxCount)
}
