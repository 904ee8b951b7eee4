//go:build !linux

package clock

import "time"

// Alarm wakes a goroutine: after a while, or when poked. Go's own timers, which
// may be late by a millisecond, have to do here.
type Alarm struct{ pokes chan struct{} }

// NewAlarm makes an alarm.
func NewAlarm() *Alarm { return &Alarm{make(chan struct{}, 1)} }

// Sleep returns after d, or earlier: the caller looks at the clock again. One
// goroutine at a time sleeps.
func (a *Alarm) Sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.pokes:
	}
}

// Poke ends the Sleep that is, or the next one; from any goroutine.
func (a *Alarm) Poke() {
	select {
	case a.pokes <- struct{}{}:
	default: // a poke that waits wakes just as well
	}
}

// Close has nothing to free here.
func (*Alarm) Close() {}
