// Package simtime is what the seeded worlds of the cores' tests are made of: a clock
// whose events happen in order, processes that pause and crash, and connections that
// keep the order of messages. Nothing waits, and the same seed gives the same events.
// One goroutine owns a Clock and all that is made of it.
package simtime

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"clockwork/pkg/protocol"
)

// Clock is virtual time, with what is still to happen. Delays are drawn from RNG.
type Clock struct {
	Now protocol.Time
	RNG *rand.Rand

	queue  events
	events uint64 // made so far
}

// After calls do once d has passed; events of one instant happen in the order in which
// they were made.
func (c *Clock) After(d time.Duration, do func()) {
	c.events++
	heap.Push(&c.queue, event{c.Now.Add(max(0, d)), c.events, do})
}

// Every calls do every d, first after a random part of d.
func (c *Clock) Every(d time.Duration, do func()) {
	var next func()
	next = func() { do(); c.After(d, next) }
	c.After(c.UpTo(d), next)
}

// Run lets events happen until an instant, or until one of them makes stop true: then it is
// the instant of that event.
func (c *Clock) Run(until protocol.Time, stop func() bool) {
	for !stop() {
		if c.Next() > until {
			c.Now = until
			return
		}
		e := heap.Pop(&c.queue).(event)
		c.Now = e.at
		e.do()
	}
}

// Next is when the next event happens, Never if there is none.
func (c *Clock) Next() protocol.Time {
	if len(c.queue) == 0 {
		return protocol.Never
	}
	return c.queue[0].at
}

// UpTo draws a duration from 0 to d.
func (c *Clock) UpTo(d time.Duration) time.Duration { return time.Duration(c.RNG.Int64N(int64(d) + 1)) }

// Delay draws how long a message travels.
func (c *Clock) Delay() time.Duration { return 100*time.Microsecond + c.UpTo(400*time.Microsecond) }

// event is a function to call at an instant.
type event struct {
	at  protocol.Time
	nth uint64
	do  func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].nth < q[j].nth
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push and Pop serve container/heap.
func (q *events) Push(x any) { *q = append(*q, x.(event)) }

// Pop removes the last element.
func (q *events) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
