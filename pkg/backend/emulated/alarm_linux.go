package emulated

import (
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes the waiter's thread: after a while, or when poked. It is a pipe,
// in which a byte is a poke.
type alarm [2]int

func newAlarm() alarm {
	var a alarm
	if err := unix.Pipe2(a[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		panic("no pipe for the timer thread: " + err.Error()) // out of file descriptors at start
	}
	return a
}

// begin is called on the thread: its sleeps are to end as exactly as the
// kernel can.
func (alarm) begin() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

func (a alarm) sleep(d time.Duration) {
	timeout := unix.NsecToTimespec(int64(d))
	fds := []unix.PollFd{{Fd: int32(a[0]), Events: unix.POLLIN}}
	if n, err := unix.Ppoll(fds, &timeout, nil); err != nil || n == 0 {
		return // time is over, or a signal came: the caller looks again
	}
	var drain [64]byte
	_, _ = unix.Read(a[0], drain[:]) // the caller looks again either way
}

func (a alarm) poke() {
	_, _ = unix.Write(a[1], []byte{0}) // a full pipe wakes just as well
}

func (a alarm) close() {
	for _, fd := range a {
		_ = unix.Close(fd)
	}
}
