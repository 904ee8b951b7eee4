package sim

import (
	"math/rand/v2"
	"time"
)

// networkModel draws the delay of each message.
type networkModel struct {
	Network
	rng *rand.Rand
}

func (l *networkModel) delay() time.Duration {
	if l.Jitter == 0 {
		return l.Base
	}
	return l.Base + time.Duration(l.rng.ExpFloat64()*float64(l.Jitter))
}

func (l *networkModel) payload(bytes int64) time.Duration {
	d := l.delay()
	if l.Bandwidth > 0 {
		d += time.Duration(float64(bytes) / l.Bandwidth * 1e9)
	}
	return d
}

// jitter draws the deviation of durations from their planned values.
type jitter struct {
	Noise
	rng *rand.Rand
}

func (n *jitter) apply(d time.Duration) time.Duration {
	return max(1, time.Duration(float64(d)*(1+n.Spread*n.rng.NormFloat64())))
}

// execution draws what an execution takes: as on the hardware where that was seen.
func (n *jitter) execution(m *model, batch int) time.Duration {
	if m.measured != nil {
		if took, seen := m.measured.Took(batch, n.rng.Float64()); seen {
			return max(1, took)
		}
	}
	return n.apply(m.Network.Execution(batch))
}

// These are the concerns with a random seed of their own.
const (
	seedOfNetwork = iota + 1
	seedOfNoise
	seedOfFaults
	seedOfLoss
	seedOfDuplicates
	seedOfReordering
	seedOfKills
	seedOfPauses
	seedOfCuts
	seedOfSlowGPUs
	seedOfHangs
	seedOfClocks
	seedOfReadings
	seedOfRestarts
	seedOfHeartbeats
	seedOfEarly
	seedOfFailovers
	seedOfPoison
	seedOfSleeps
	seedOfDoors
	seedOfDoorDeaths
	seedOfBrokers
)

// newRNG returns the random source of one concern.
func newRNG(seed uint64, concern uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, concern)) }
