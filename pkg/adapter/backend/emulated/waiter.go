package emulated

import (
	"container/heap"
	"runtime"
	"sync"
	"time"

	"clockwork/pkg/adapter/clock"
)

// waiter ends waits on time. A goroutine that sleeps wakes up to a millisecond
// late; so one of its own sleeps by the kernel's timer until shortly before the
// next deadline and wakes the one that waits for it, which watches the clock for
// what is left. It serves every emulated GPU of the process.
type waiter struct {
	mu      sync.Mutex
	waiting deadlines
	nearest time.Time // what it sleeps towards
	alarm   *clock.Alarm
	users   int
	closing bool
}

// spin is how long before a deadline its goroutine is woken: longer than the
// kernel and Go's scheduler together are usually late (about 45 and 30 us),
// short enough to leave the core to others.
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
		runtime.Gosched() // on an idle machine it returns at once
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

// far is a deadline that is not worth watching.
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

// The process's one waiter, and how many backends use it.
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
	w.alarm.Poke() // under the lock: what it closes is not poked any more
}

// deadlines is a heap, nearest first.
type deadlines []deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

// Push and Pop serve container/heap.
func (d *deadlines) Push(x any) { *d = append(*d, x.(deadline)) }

// Pop removes the last element.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	*d = (*d)[:last]
	return x
}
