package clock

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Fault makes the clock of this process go wrong, for tests of what a stack does
// about a worker with such a clock. The zero value behaves.
type Fault struct {
	// Drift is by how much the clock is fast: 0.01 gains 10 ms each second.
	Drift float64
	// Step is how far ahead it is while it is stepped.
	Step time.Duration
}

// maxFault bounds a step; a drift is at most as fast as the clock itself.
const maxFault = time.Hour

// Validate names the first field that makes no sense.
func (f Fault) Validate() error {
	if f.Drift <= -1 || f.Drift > 1 || f.Drift != f.Drift {
		return fmt.Errorf("clock drift is %v; it must be above -1 and at most 1", f.Drift)
	}
	if f.Step < -maxFault || f.Step > maxFault {
		return fmt.Errorf("clock step is %v; it must be from %v to %v", f.Step, -maxFault, maxFault)
	}
	return nil
}

var (
	fault   atomic.Pointer[Fault] // nil in all but tests
	stepped atomic.Bool
)

// Misbehave has the clock of this process go wrong from now on, not stepped yet.
func (f Fault) Misbehave() { fault.Store(&f) }

// Stepped steps the clock ahead, or back again.
func Stepped(ahead bool) { stepped.Store(ahead) }

// off is how far the clock is off when the process is so old.
func (f Fault) off(age time.Duration) time.Duration {
	off := time.Duration(f.Drift * float64(age))
	if stepped.Load() {
		off += f.Step
	}
	return off
}
