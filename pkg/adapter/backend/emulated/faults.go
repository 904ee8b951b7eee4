package emulated

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// Faults are injected into emulated GPUs, to test how the stack reacts. The zero value
// injects none. Equal seeds give equal faults.
type Faults struct {
	Seed uint64
	// Jitter lengthens each duration by up to this fraction (0.1: up to 10 %).
	Jitter float64
	// StallEvery makes one in this many actions take Stall longer, at random; 0 for
	// none.
	StallEvery int
	Stall      time.Duration
	// SlowDown multiplies all durations (2: half as fast); 0 and 1 change nothing.
	SlowDown float64
	// FailEvery makes one in this many actions fail, at random; 0 for none.
	FailEvery int
	// CrashEvery makes one in this many executions end the GPU's executor, HangEvery makes
	// one never end, at random; 0 for none.
	CrashEvery, HangEvery int
	// CrashInput does so with an execution of which a member's input begins with these
	// bytes, HangInput likewise; "" for none.
	CrashInput, HangInput string
}

// Validate returns an error that names the first value that is out of bounds.
func (f Faults) Validate() error {
	for _, v := range []struct {
		name        string
		value, most float64
	}{
		{"jitter", f.Jitter, maxTimes}, {"slow-down", f.SlowDown, maxTimes},
		{"stall-every", float64(f.StallEvery), math.MaxInt}, {"fail-every", float64(f.FailEvery), math.MaxInt},
		{"crash-every", float64(f.CrashEvery), math.MaxInt}, {"hang-every", float64(f.HangEvery), math.MaxInt},
	} {
		switch {
		case v.value >= 0 && v.value <= v.most:
		case v.value < 0:
			return fmt.Errorf("%s is %v; it must not be negative", v.name, v.value)
		default:
			return fmt.Errorf("%s is %v; it must be from 0 to %v", v.name, v.value, v.most)
		}
	}
	if f.Stall < 0 || f.Stall > maxStall {
		return fmt.Errorf("stall is %v; it must be from 0 to %v", f.Stall, maxStall)
	}
	return nil
}

// The bounds of faults. NaN counts as out of bounds.
const (
	maxTimes = 1000
	maxStall = time.Hour
)

// faultSource draws the faults of one GPU. Both of its lanes use it, so it locks.
type faultSource struct {
	faults Faults
	draws  chan *rand.Rand // holds the one generator; receiving it is the lock
}

func newFaultSource(f Faults, gpu int) *faultSource {
	s := &faultSource{faults: f, draws: make(chan *rand.Rand, 1)}
	s.draws <- rand.New(rand.NewPCG(f.Seed, uint64(gpu)))
	return s
}

// apply returns an action's duration with its faults, or the injected failure.
func (s *faultSource) apply(d time.Duration) (time.Duration, error) {
	if s.faults == (Faults{}) {
		return d, nil
	}
	rng := <-s.draws
	defer func() { s.draws <- rng }()
	f := s.faults
	if f.FailEvery > 0 && rng.IntN(f.FailEvery) == 0 {
		return 0, protocol.Errorf(protocol.BackendError, "the emulated GPU fails one in %d actions", f.FailEvery)
	}
	if f.SlowDown > 0 {
		d = time.Duration(float64(d) * f.SlowDown)
	}
	d += time.Duration(rng.Float64() * f.Jitter * float64(d))
	if f.StallEvery > 0 && rng.IntN(f.StallEvery) == 0 {
		d += f.Stall
	}
	return d, nil
}

// fate is what becomes of an execution besides its duration.
type fate uint8

const (
	ends fate = iota
	crashes
	hangs
)

// fate returns whether an execution of these inputs ends its executor, or does not end.
func (s *faultSource) fate(inputs [][]byte) fate {
	f := &s.faults
	begins := func(with string) bool {
		return with != "" && slices.ContainsFunc(inputs, func(in []byte) bool { return bytes.HasPrefix(in, []byte(with)) })
	}
	if begins(f.CrashInput) {
		return crashes
	}
	if begins(f.HangInput) {
		return hangs
	}
	if f.CrashEvery == 0 && f.HangEvery == 0 {
		return ends
	}
	rng := <-s.draws
	defer func() { s.draws <- rng }()
	if f.CrashEvery > 0 && rng.IntN(f.CrashEvery) == 0 {
		return crashes
	}
	if f.HangEvery > 0 && rng.IntN(f.HangEvery) == 0 {
		return hangs
	}
	return ends
}
