package clock

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Alarm wakes a goroutine after a while, more exactly than Go's own timers, which
// may be late by a millisecond, or when poked. It is a timer of the kernel's that
// Go's poller waits for: a thread that slept in the kernel would keep its processor
// from other goroutines until somebody noticed, with two of them up to half of the
// time.
type Alarm struct {
	timer  *os.File
	fd     int
	poked  atomic.Bool
	expiry [8]byte // what is read of the timer
}

// NewAlarm makes an alarm; Close frees what it takes.
func NewAlarm() *Alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		panic("no timer for an alarm: " + err.Error()) // out of file descriptors
	}
	return &Alarm{timer: os.NewFile(uintptr(fd), "alarm"), fd: fd}
}

// Sleep returns after d, or earlier: the caller looks at the clock again. One
// goroutine at a time sleeps.
func (a *Alarm) Sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	a.set(d)
	if !a.poked.Swap(false) { // a poke later than this finds the timer set
		_, _ = a.timer.Read(a.expiry[:]) // the caller looks again either way
		a.poked.Store(false)
	}
}

// Poke ends the Sleep that is, or the next one; from any goroutine.
func (a *Alarm) Poke() {
	a.poked.Store(true)
	a.set(1)
}

func (a *Alarm) set(d time.Duration) {
	_ = unix.TimerfdSettime(a.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
}

// Close frees the alarm; nobody sleeps or pokes any more.
func (a *Alarm) Close() { _ = a.timer.Close() }
