//go:build !linux

package clock

import "time"

// Alarm wakes a goroutine after a duration, or when poked. On this system it uses Go's
// own timers, which may be a millisecond late.
type Alarm struct{ pokes chan struct{} }

// NewAlarm returns an alarm.
func NewAlarm() *Alarm { return &Alarm{make(chan struct{}, 1)} }

// Sleep returns after d, or earlier: the caller checks the clock again. Only one
// goroutine may sleep at a time.
func (a *Alarm) Sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.pokes:
	}
}

// Poke ends the current Sleep, or the next one. It may be called from any goroutine.
func (a *Alarm) Poke() {
	select {
	case a.pokes <- struct{}{}:
	default: // a pending poke wakes as well
	}
}

// Close does nothing on this system.
func (*Alarm) Close() {}
