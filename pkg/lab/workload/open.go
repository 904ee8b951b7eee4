package workload

import (
	"time"

	"clockwork/pkg/protocol"
)

// open is a process whose arrivals are random numbers of units apart: one unit
// passes in 1/rate seconds at the current rate. A change of the rate therefore
// takes effect at once, and exactly.
type open struct {
	units   func(*rng) float64
	rng     rng
	rate    cursor[float64]
	bursts  *bursts
	at      protocol.Time
	frac    float64 // fraction of a nanosecond after at, so that rounding causes no drift
	pending float64 // units until the next arrival
}

func (p Poisson) begin(seed func(uint64) rng) process { return newPoisson(p.Rate, seed) }

func (p Fixed) begin(seed func(uint64) rng) process {
	o := newPoisson(p.Rate, seed)
	o.units = func(*rng) float64 { return 1 }
	o.pending = o.rng.float()
	return o
}

func (p Bursty) begin(seed func(uint64) rng) process {
	o := newPoisson(p.Rate, seed)
	o.bursts = newBursts(seed(forBursts), p.Busy, p.Idle)
	return o
}

func newPoisson(rate Schedule[float64], seed func(uint64) rng) *open {
	o := &open{units: (*rng).exp, rng: seed(forArrivals), rate: newCursor(rate)}
	o.pending = o.rng.exp()
	return o
}

func (o *open) next() protocol.Time {
	left := o.pending
	for {
		rate, end := o.now()
		room := float64(end-o.at) - o.frac
		gap := room
		if rate > 0 {
			gap = float64(left * (1e9 / rate)) // the conversion prevents a fused multiply-add
		}
		if gap < room {
			o.move(gap)
			o.pending = o.units(&o.rng)
			return o.at
		}
		if end == protocol.Never {
			return protocol.Never
		}
		left -= float64(room * (rate / 1e9))
		left = max(left, 0)
		o.at, o.frac = end, 0
	}
}

// now returns the current rate and until when it holds.
func (o *open) now() (float64, protocol.Time) {
	rate, end := o.rate.at(o.at)
	if o.bursts == nil {
		return rate, end
	}
	busy, turn := o.bursts.at(o.at)
	if !busy {
		rate = 0
	}
	return rate, min(end, turn)
}

func (o *open) move(gap float64) {
	gap += o.frac
	whole := protocol.Time(gap)
	o.at += whole
	o.frac = gap - float64(whole)
}

// bursts alternates between busy and idle.
type bursts struct {
	rng  rng
	mean [2]time.Duration // of pauses and of bursts
	busy int
	turn protocol.Time // when busy changes
}

// newBursts starts in the stationary state: busy with the probability of its
// share of the time.
func newBursts(d rng, busy, idle time.Duration) *bursts {
	b := &bursts{rng: d, mean: [2]time.Duration{idle, busy}}
	if b.rng.float() < float64(busy)/float64(busy+idle) {
		b.busy = 1
	}
	b.turn = b.length()
	return b
}

func (b *bursts) length() protocol.Time {
	return 1 + protocol.Time(b.rng.exp()*float64(b.mean[b.busy]))
}

func (b *bursts) at(t protocol.Time) (bool, protocol.Time) {
	for b.turn <= t {
		b.busy = 1 - b.busy
		b.turn += b.length()
	}
	return b.busy == 1, b.turn
}
