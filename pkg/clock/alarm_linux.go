package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Alarm wakes a goroutine that has a thread to itself: after a while, more
// exactly than Go's own timers, which may be late by a millisecond, or when
// poked. It is a pipe, in which a byte is a poke.
type Alarm [2]int

// NewAlarm makes an alarm; Close frees what it takes.
func NewAlarm() Alarm {
	var a Alarm
	if err := unix.Pipe2(a[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		panic("no pipe for an alarm: " + err.Error()) // out of file descriptors
	}
	return a
}

// Begin is called on the thread, which runtime.LockOSThread keeps for good: its
// sleeps are to end as exactly as the kernel can.
func (Alarm) Begin() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// Sleep returns after d, or earlier: the caller looks at the clock again.
func (a Alarm) Sleep(d time.Duration) {
	timeout := unix.NsecToTimespec(int64(d))
	fds := []unix.PollFd{{Fd: int32(a[0]), Events: unix.POLLIN}}
	if n, err := unix.Ppoll(fds, &timeout, nil); err != nil || n == 0 {
		return // time is over, or a signal came
	}
	var drain [64]byte
	_, _ = unix.Read(a[0], drain[:]) // the caller looks again either way
}

// Poke ends the Sleep that is, or the next one; from any goroutine.
func (a Alarm) Poke() {
	_, _ = unix.Write(a[1], []byte{0}) // a full pipe wakes just as well
}

// Close frees the alarm; nobody sleeps or pokes any more.
func (a Alarm) Close() {
	for _, fd := range a {
		_ = unix.Close(fd)
	}
}
