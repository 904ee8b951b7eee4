package sim

import (
	"fmt"

	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
)

// kind is the kind of an event.
type kind uint8

const (
	atDoor     kind = iota // a request reaches the front door
	submitted              // a submission reaches the scheduler
	ordered                // an action reaches its worker
	dispatched             // a dispatch reaches the front door
	staged                 // an input reaches its worker
	ended                  // a GPU finishes an order
	woken                  // the wake-up of a worker is due
	reported               // a result reaches the scheduler
	answered               // an output reaches the front door
	refused                // a refusal reaches the front door
	due                    // the wake-up of the front door is due
	called                 // a function call, for rare events
	messaged               // a function call, for rare messages
	waiting                // a function call that does not keep the run alive
)

var kindNames = [...]string{"request", "submission", "action", "dispatch", "input", "end", "wake", "result", "output", "refusal",
	"deadline", "call", "message", "call"}

// message reports whether the broker carries it.
func (k kind) message() bool {
	switch k {
	case ended, woken, due, called, waiting:
		return false
	}
	return true
}

// event is a simulated event. Which fields are set depends on its kind.
type event struct {
	at   protocol.Time
	kind kind
	size int32  // bytes of an input; items of an output; 1 for a cold dispatch
	seq  uint64 // of the request
	// epoch is the scheduler's, of a dispatch or a refusal.
	epoch uint64
	of    any // the action in transit, the ended run, the worker, the result or the refusal
}

// String describes the event.
func (e event) String() string {
	switch of := e.of.(type) {
	case *sent:
		return fmt.Sprintf("%s of %s %d of %s for %s", kindNames[e.kind], of.action.Kind, of.action.ID, of.action.Model, of.to.ID())
	case *virtual.Run:
		return fmt.Sprintf("%s of %s %d of %s on %v", kindNames[e.kind], of.Order.Action.Kind, of.Order.Action.ID, of.Order.Action.Model, of.GPU)
	case *host:
		return fmt.Sprintf("%s of %s", kindNames[e.kind], of.ID())
	case *protocol.Error:
		return fmt.Sprintf("%s %s", kindNames[e.kind], of.Code)
	}
	return kindNames[e.kind]
}

// eventQueue holds the future events, ordered by (time, sequence). Its heap has
// no pointers, so moving entries costs the garbage collector nothing.
type eventQueue struct {
	heap   []entry
	events []event // by slot
	free   []int32
	seq    uint64
	taken  uint64 // the number of the event that was taken last
}

// entry is the heap's entry of an event.
type entry struct {
	at   protocol.Time
	seq  uint64 // in order of insertion: breaks ties between equal times
	slot int32
}

func (c *eventQueue) next() protocol.Time {
	if len(c.heap) == 0 {
		return protocol.Never
	}
	return c.heap[0].at
}

func (c *eventQueue) add(e event) {
	c.seq++
	in := entry{e.at, c.seq, int32(len(c.events))}
	if n := len(c.free); n > 0 {
		in.slot = c.free[n-1]
		c.free = c.free[:n-1]
		c.events[in.slot] = e
	} else {
		c.events = append(c.events, e)
	}
	c.heap = append(c.heap, in)
	i := len(c.heap) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !before(&in, &c.heap[up]) {
			break
		}
		c.heap[i] = c.heap[up]
		i = up
	}
	c.heap[i] = in
}

func before(a, b *entry) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (c *eventQueue) take() event {
	first := c.heap[0].slot
	c.taken = c.heap[0].seq
	last := len(c.heap) - 1
	e := c.heap[last]
	c.heap = c.heap[:last]
	if last > 0 {
		c.sink(e)
	}
	c.free = append(c.free, first)
	return c.events[first]
}

// sink inserts e at the root and moves it down to its place.
func (c *eventQueue) sink(e entry) {
	i, n := 0, len(c.heap)
	for {
		first := 4*i + 1
		if first >= n {
			break
		}
		least := first
		for child := first + 1; child < min(first+4, n); child++ {
			if before(&c.heap[child], &c.heap[least]) {
				least = child
			}
		}
		if !before(&c.heap[least], &e) {
			break
		}
		c.heap[i] = c.heap[least]
		i = least
	}
	c.heap[i] = e
}
