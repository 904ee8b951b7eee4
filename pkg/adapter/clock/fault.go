package clock

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Fault is an injected fault of this process' clock, to test how the stack reacts to a
// worker with such a clock. The zero value is a correct clock.
type Fault struct {
	// Drift is by how much the clock is fast: 0.01 gains 10 ms each second.
	Drift float64
	// Step is how far the clock is ahead while it is stepped.
	Step time.Duration
}

// maxFault bounds a step. A drift is at most 1: the clock runs at most twice as fast.
const maxFault = time.Hour

// Validate returns an error that names the first invalid field.
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
	fault   atomic.Pointer[Fault] // nil except in tests
	stepped atomic.Bool
)

// Misbehave makes this process' clock faulty from now on, not stepped yet.
func (f Fault) Misbehave() { fault.Store(&f) }

// Stepped steps the clock ahead, or back again.
func Stepped(ahead bool) { stepped.Store(ahead) }

// off returns how far the clock is off when the process has run for age.
func (f Fault) off(age time.Duration) time.Duration {
	off := time.Duration(f.Drift * float64(age))
	if stepped.Load() {
		off += f.Step
	}
	return off
}
