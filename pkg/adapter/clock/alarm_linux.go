package clock

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Alarm wakes a goroutine after a duration, or when poked. It is more exact than Go's
// own timers, which may be a millisecond late. It is a kernel timer that Go's poller
// waits for: a thread that slept in the kernel would keep its processor from other
// goroutines until the runtime noticed, with two such threads for up to half of the
// time.
type Alarm struct {
	timer  *os.File
	fd     int
	poked  atomic.Bool
	expiry [8]byte // buffer for reading the timer
}

// NewAlarm returns an alarm; Close frees its file descriptor.
func NewAlarm() *Alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		panic("no timer for an alarm: " + err.Error()) // out of file descriptors
	}
	return &Alarm{timer: os.NewFile(uintptr(fd), "alarm"), fd: fd}
}

// Sleep returns after d, or earlier: the caller checks the clock again. Only one
// goroutine may sleep at a time.
func (a *Alarm) Sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	a.set(d)
	if !a.poked.Swap(false) { // a later poke sets the timer again
		_, _ = a.timer.Read(a.expiry[:]) // the caller checks the clock in any case
		a.poked.Store(false)
	}
}

// Poke ends the current Sleep, or the next one. It may be called from any goroutine.
func (a *Alarm) Poke() {
	a.poked.Store(true)
	a.set(1)
}

func (a *Alarm) set(d time.Duration) {
	_ = unix.TimerfdSettime(a.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
}

// Close frees the alarm; no Sleep or Poke may follow.
func (a *Alarm) Close() { _ = a.timer.Close() }
