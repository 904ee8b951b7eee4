package executor

import (
	"fmt"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// TaskID names a task of a lane. The owner chooses it; ids grow with the
// order of arrival and are never 0.
type TaskID uint64

// Task is an action as its lane sees it: the window in which it may begin.
type Task struct {
	ID               TaskID
	Earliest, Latest protocol.Time
}

// Event is something that happened to a lane.
type Event interface{ event() }

// Arrived is a new task. Ready says that nothing of it is missing.
type Arrived struct {
	Task  Task
	Ready bool
}

// Ready says that what a task waited for is there.
type Ready struct{ ID TaskID }

// Withdrawn takes a task out that has not begun.
type Withdrawn struct{ ID TaskID }

// Ended says that what was begun last is over.
type Ended struct{}

// Tick says only that time has passed.
type Tick struct{}

func (Arrived) event()   {}
func (Ready) event()     {}
func (Withdrawn) event() {}
func (Ended) event()     {}
func (Tick) event()      {}

// Output is what a Step wants done.
type Output struct {
	// Start is the task to begin now, 0 for none.
	Start TaskID
	// Expired are tasks that can no longer begin; the lane forgot them.
	Expired []Expired
	// Wake is when a Tick is due at the latest; Never for none. It replaces
	// every earlier one.
	Wake protocol.Time
}

// Expired is a task whose latest begin has passed. Ready tells whether it was
// still waiting for something.
type Expired struct {
	ID    TaskID
	Ready bool
}

// Lane is one lane of one GPU.
//
// Invariants: queue is ordered by (Earliest, ID); at most one task has begun
// and not ended; no task of the queue has a Latest before the time of the last
// Step.
type Lane struct {
	queue   []entry
	running TaskID
	now     protocol.Time
}

type entry struct {
	Task
	ready bool
}

// Len returns how many tasks wait.
func (l *Lane) Len() int { return len(l.queue) }

// Running returns the task that has begun and not ended, 0 for none.
func (l *Lane) Running() TaskID { return l.running }

// Has reports whether a task waits.
func (l *Lane) Has(id TaskID) bool { return l.index(id) >= 0 }

// Step takes one event; a now before an earlier one counts as that one.
func (l *Lane) Step(now protocol.Time, e Event) Output {
	l.now = max(l.now, now)
	switch e := e.(type) {
	case Arrived:
		l.insert(entry{e.Task, e.Ready})
	case Ready:
		if i := l.index(e.ID); i >= 0 {
			l.queue[i].ready = true
		}
	case Withdrawn:
		if i := l.index(e.ID); i >= 0 {
			l.queue = slices.Delete(l.queue, i, i+1)
		}
	case Ended:
		l.running = 0
	}
	out := Output{Expired: l.expire()}
	out.Start = l.begin()
	out.Wake = l.wake()
	return out
}

// insert keeps the queue in order; most tasks belong at its end.
func (l *Lane) insert(e entry) {
	i := len(l.queue)
	for i > 0 && after(l.queue[i-1].Task, e.Task) {
		i--
	}
	l.queue = slices.Insert(l.queue, i, e)
}

func after(a, b Task) bool {
	return a.Earliest > b.Earliest || a.Earliest == b.Earliest && a.ID > b.ID
}

// expire takes out what can no longer begin.
func (l *Lane) expire() []Expired {
	var expired []Expired
	l.queue = slices.DeleteFunc(l.queue, func(e entry) bool {
		if e.Latest >= l.now {
			return false
		}
		expired = append(expired, Expired{e.ID, e.ready})
		return true
	})
	return expired
}

// begin takes out the first task that may begin now.
func (l *Lane) begin() TaskID {
	if l.running != 0 {
		return 0
	}
	for i, e := range l.queue {
		if e.Earliest > l.now {
			return 0
		}
		if e.ready {
			l.queue = slices.Delete(l.queue, i, i+1)
			l.running = e.ID
			return e.ID
		}
	}
	return 0
}

// wake is when the next task may begin or expires, whichever is first.
func (l *Lane) wake() protocol.Time {
	next := protocol.Never
	for _, e := range l.queue {
		next = min(next, e.Latest.Add(1))
		if l.running == 0 && e.ready && e.Earliest > l.now {
			next = min(next, e.Earliest)
		}
	}
	return next
}

func (l *Lane) index(id TaskID) int {
	return slices.IndexFunc(l.queue, func(e entry) bool { return e.ID == id })
}

// String draws the lane for a person.
func (l *Lane) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v running %d\n", l.now, l.running)
	for _, e := range l.queue {
		state := "ready"
		if !e.ready {
			state = "waits for input"
		}
		fmt.Fprintf(&b, "  %d [%v, %v] %s\n", e.ID, e.Earliest, e.Latest, state)
	}
	return b.String()
}

// Waiting returns the tasks that wait, in the order of their arrival.
func (l *Lane) Waiting() []TaskID {
	ids := make([]TaskID, 0, len(l.queue))
	for _, e := range l.queue {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}
