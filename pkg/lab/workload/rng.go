package workload

import "math/bits"

// rng is a splitmix64 generator (Steele, Lea and Flood, OOPSLA 2014) of eight
// bytes, so that thousands of streams fit in the cache. It was written by hand
// because the arrivals depend on it: it uses only integers and comparisons, so
// every machine and every release of Go draws the same.
type rng uint64

// These are the concerns of a stream; each has an rng of its own, so that a
// change in one does not change the draws of the others.
const (
	forArrivals = iota + 1
	forBursts
	forModels
	forCounts
)

// newRNG mixes the seeds, so that neighbouring seeds give unrelated draws.
func newRNG(seeds ...uint64) rng {
	d := rng(0)
	for _, seed := range seeds {
		d = rng(d.next() ^ seed)
		d = rng(d.next())
	}
	return d
}

func (d *rng) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// float draws uniformly from [0, 1).
func (d *rng) float() float64 { return unit(d.next()) }

func unit(bits uint64) float64 { return float64(bits>>11) * 0x1p-53 }

// below draws uniformly from [0, n).
func (d *rng) below(n int) int {
	high, _ := bits.Mul64(d.next(), uint64(n))
	return int(high)
}

// exp draws an exponential number with mean 1, by von Neumann's method of 1951:
// it draws descending runs and returns the first draw of a run of odd length;
// each run of even length adds 1.
func (d *rng) exp() float64 {
	for whole := 0.0; ; whole++ {
		first := d.next()
		last, odd := first, true
		for draw := d.next(); draw < last; draw = d.next() {
			last, odd = draw, !odd
		}
		if odd {
			return whole + unit(first)
		}
	}
}
