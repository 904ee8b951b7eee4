package lane

import (
	"fmt"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// TaskID identifies a task of a lane. The owner of the lane chooses it. Ids grow
// in order of arrival and are never 0.
type TaskID uint64

// Task is an action as its lane sees it: the window in which it may start.
type Task struct {
	ID               TaskID
	Earliest, Latest protocol.Time
}

// Event is an input of Step.
type Event interface{ event() }

// Arrived is a new task. Ready: the task's inputs are present.
type Arrived struct {
	Task  Task
	Ready bool
}

// Ready reports that the inputs of a task have arrived.
type Ready struct{ ID TaskID }

// Withdrawn removes a task that has not started.
type Withdrawn struct{ ID TaskID }

// Ended reports that the running task has ended.
type Ended struct{}

// Tick reports only that time has passed.
type Tick struct{}

func (Arrived) event()   {}
func (Ready) event()     {}
func (Withdrawn) event() {}
func (Ended) event()     {}
func (Tick) event()      {}

// Output is the work for the owner after one Step.
type Output struct {
	// Start is the task to start now, 0 for none.
	Start TaskID
	// Expired are tasks that can no longer start; the lane has removed them.
	Expired []Expired
	// Wake is the latest time for the next Tick; Never for none. It replaces every
	// earlier Wake.
	Wake protocol.Time
}

// Expired is a task whose Latest has passed. Ready is false if inputs were still
// missing.
type Expired struct {
	ID    TaskID
	Ready bool
}

// Lane is one lane of one GPU.
//
// Invariants: queue is sorted by (Earliest, ID); at most one task is running; no
// task in queue has a Latest before the time of the last Step.
type Lane struct {
	queue   []entry
	running TaskID
	now     protocol.Time
}

type entry struct {
	Task
	ready bool
}

// Len returns the number of waiting tasks.
func (l *Lane) Len() int { return len(l.queue) }

// Running returns the running task, 0 for none.
func (l *Lane) Running() TaskID { return l.running }

// Has reports whether a task is waiting.
func (l *Lane) Has(id TaskID) bool { return l.index(id) >= 0 }

// Step applies one event. If now is before an earlier now, the earlier one
// counts.
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

// insert keeps the queue sorted; most tasks belong at its end.
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

// expire removes and returns the tasks that can no longer start.
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

// begin removes and returns the first task that may start now, 0 for none.
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

// wake returns when the next task may start or expires, whichever is first.
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

// String shows the lane's state.
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

// Waiting returns the waiting tasks in order of arrival.
func (l *Lane) Waiting() []TaskID {
	ids := make([]TaskID, 0, len(l.queue))
	for _, e := range l.queue {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}
