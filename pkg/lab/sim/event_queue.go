package sim

import (
	"fmt"

	"clockwork/pkg/lab/virtual"
	"clockwork/pkg/protocol"
)

// kind says what an event is.
type kind uint8

const (
	atDoor     kind = iota // a request reaches the front door
	submitted              // a submission reaches the scheduler
	ordered                // an action reaches its worker
	dispatched             // a dispatch reaches the door
	staged                 // an input reaches its worker
	ended                  // a GPU is done with an order
	woken                  // a worker asked to be woken
	reported               // a result reaches the scheduler
	answered               // an output reaches the door
	refused                // a refusal reaches the door
	due                    // the front door asked to be woken
	called                 // something rare happens
	waiting                // something happens that no run waits for
)

var kindNames = [...]string{"request", "submission", "action", "dispatch", "input", "end", "wake", "result", "output", "refusal",
	"deadline", "call", "call"}

// event is what happens at a time. Which fields are set depends on its kind.
type event struct {
	at   protocol.Time
	kind kind
	size int32  // of an input, in bytes; the items of an output; 1 of a cold dispatch
	seq  uint64 // of the request
	of   any    // the action on its way; the run that ends; the worker; the result; the refusal
}

// String says what happens, for a person.
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

// calendar holds what is to come, ordered by (time, sequence). The heap has no
// pointers: moving its entries costs the garbage collector nothing.
type eventQueue struct {
	heap   []entry
	events []event // by slot
	free   []int32
	seq    uint64
}

// entry is when the event of a slot happens.
type entry struct {
	at   protocol.Time
	seq  uint64 // of its making: the order of events at one time
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
	last := len(c.heap) - 1
	e := c.heap[last]
	c.heap = c.heap[:last]
	if last > 0 {
		c.sink(e)
	}
	c.free = append(c.free, first)
	return c.events[first]
}

// sink finds e's place from the top.
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
