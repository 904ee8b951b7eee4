package emulated

import (
	"container/heap"
	"runtime"
	"sync"
	"time"

	"clockwork/pkg/adapter/clock"
)

// waiter ends waits at an exact time. A sleeping goroutine wakes up to a millisecond
// late; so the waiter's own goroutine sleeps on the kernel's timer until shortly before
// the next deadline and wakes the goroutine waiting for that deadline, which spins for
// the remaining time. One waiter serves every emulated GPU of the process.
type waiter struct {
	mu      sync.Mutex
	waiting deadlines
	nearest time.Time // the deadline for which run currently sleeps
	alarm   *clock.Alarm
	users   int
	closing bool
}

// spin is how long before its deadline a waiting goroutine is woken: longer than the
// usual delay of the kernel and Go's scheduler together (about 45 and 30 us), short
// enough to leave the core to others.
const spin = 120 * time.Microsecond

type deadline struct {
	at   time.Time
	over chan struct{}
}

// until returns at the given time, not before.
func (w *waiter) until(at time.Time) {
	if wake := at.Add(-spin); time.Now().Before(wake) {
		w.sleepUntil(wake)
	}
	for time.Now().Before(at) {
		runtime.Gosched() // returns at once on an idle machine
	}
}

func (w *waiter) sleepUntil(at time.Time) {
	over := make(chan struct{})
	w.mu.Lock()
	heap.Push(&w.waiting, deadline{at, over})
	nearer := at.Before(w.nearest)
	if nearer {
		w.nearest = at
	}
	w.mu.Unlock()
	if nearer {
		w.alarm.Poke()
	}
	<-over
}

// far is how long run sleeps without a deadline.
const far = time.Hour

func (w *waiter) run() {
	for {
		w.mu.Lock()
		now := time.Now()
		for len(w.waiting) > 0 && !now.Before(w.waiting[0].at) {
			close(heap.Pop(&w.waiting).(deadline).over)
		}
		w.nearest = now.Add(far)
		if len(w.waiting) > 0 {
			w.nearest = w.waiting[0].at
		}
		left, closing := w.nearest.Sub(now), w.closing
		w.mu.Unlock()
		if closing {
			w.alarm.Close()
			return
		}
		w.alarm.Sleep(left)
	}
}

// The process's one waiter, shared by all backends.
var (
	sharedMu sync.Mutex
	shared   *waiter
)

func acquireWaiter() *waiter {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared == nil {
		w := &waiter{nearest: time.Now().Add(far), alarm: clock.NewAlarm()}
		shared = w
		go w.run() // ends with the last release
	}
	shared.users++
	return shared
}

func (w *waiter) release() {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if w.users--; w.users > 0 {
		return
	}
	shared = nil
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
	w.alarm.Poke() // under the lock: a closed alarm must not be poked
}

// deadlines is a heap, nearest first.
type deadlines []deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

// Push implements heap.Interface.
func (d *deadlines) Push(x any) { *d = append(*d, x.(deadline)) }

// Pop implements heap.Interface: it removes the last element.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	*d = (*d)[:last]
	return x
}
