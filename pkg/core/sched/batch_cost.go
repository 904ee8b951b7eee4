package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// A larger batch is not always cheaper. On a GPU an item of a batch of 16 may take a fourth
// of the time of one alone, on a processor the same time. Then a batch only makes its first
// members wait for the last, and everything else for the batch. So a batch is no larger
// than its items pay: n items run in batches of the least size that takes no longer for all
// of them than the best size does, as far as the profile can tell.

// A larger batch must save more than half of what an execution's p99 is above its median:
// the sizes were measured one after the other, and a busy host changes by as much meanwhile.
// leastGain and mostGain bound that share.
const leastGain, mostGain = 0.005, 0.1

// batchCosts is what a profile says about the time of n items in batches.
type batchCosts struct {
	// takes is the usual duration of n items in one batch, padded if need be, and pays the
	// batch size in which n items run, 0 if it is not known yet. The index is n.
	takes []time.Duration
	pays  []int
	// gain is the share of the time that a larger batch must save.
	gain float64
}

// newBatchCosts returns the costs by a profile. Without anySize batches are padded to its
// sizes.
func newBatchCosts(p *protocol.Profile, sizes []protocol.BatchMeasurement, anySize bool) batchCosts {
	most := sizes[len(sizes)-1].Batch
	b := batchCosts{takes: make([]time.Duration, most+1), pays: make([]int, most+1), gain: leastGain}
	at := 0
	for n := 1; n <= most; n++ {
		for sizes[at].Batch < n {
			at++
		}
		b.takes[n] = sizes[at].P50
		if anySize {
			b.takes[n] = p.Interpolated(n, protocol.P50Of)
		}
	}
	for _, m := range sizes {
		scatter := float64(m.P99-m.P50) / float64(max(1, m.P50))
		b.gain = max(b.gain, min(mostGain, scatter/2))
	}
	return b
}

// of returns in which batch size n items run, at most n.
func (b *batchCosts) of(n int) int {
	if n >= len(b.pays) {
		return n
	}
	if pays := b.pays[n]; pays > 0 {
		return pays
	}
	return b.least(n)
}

// least sets of n: the least batch size whose batches of n items take no longer than those of
// the best size, by more than gain.
func (b *batchCosts) least(n int) int {
	if n == 0 {
		return 0
	}
	best := b.all(n, n)
	for size := 1; size < n; size++ {
		best = min(best, b.all(n, size))
	}
	size := 1
	for float64(b.all(n, size)) > float64(best)*(1+b.gain) {
		size++ // at most until the best one
	}
	b.pays[n] = size
	return size
}

// all returns what n items take in batches of this size; the last has the rest.
func (b *batchCosts) all(n, size int) time.Duration {
	return time.Duration(n/size)*b.takes[size] + b.takes[n%size]
}
