// Package clock reads monotonic time, and waits.
//
// Services call it at their edge and pass instants to the pure packages. Wall time is
// not used. Now may be called from any goroutine.
package clock

import (
	"time"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

var (
	started = time.Now()
	base    = monotonic()
)

// Now returns nanoseconds on this machine's monotonic clock, which all of its processes
// share.
func Now() protocol.Time { return aged(time.Since(started)) }

// aged returns the value of Now when the process has run for age.
func aged(age time.Duration) protocol.Time {
	if f := fault.Load(); f != nil {
		age += f.off(age)
	}
	return base.Add(age)
}

func monotonic() protocol.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 1 // no such clock: instants are comparable only within this process
	}
	return protocol.Time(ts.Nano())
}
