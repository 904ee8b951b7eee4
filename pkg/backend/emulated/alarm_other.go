//go:build !linux

package emulated

import "time"

// alarm wakes the waiter: after a while, or when poked. Go's own timers, which
// may be late by a millisecond, have to do here.
type alarm chan struct{}

func newAlarm() alarm { return make(alarm, 1) }

func (alarm) begin() {}

func (a alarm) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a:
	}
}

func (a alarm) poke() {
	select {
	case a <- struct{}{}:
	default: // a poke that waits wakes just as well
	}
}

func (alarm) close() {}
