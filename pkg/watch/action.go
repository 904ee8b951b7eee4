package watch

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Action is an action of the scheduler's, from its order to its end. Its times are
// those of the scheduler's clock.
type Action struct {
	Worker   string
	ID       protocol.ActionID
	Epoch    uint64
	Kind     protocol.Kind
	GPU      int
	Model    string
	Batch    int
	Requests []protocol.RequestRef // the members of the batch

	Earliest, Latest protocol.Time
	// Expected is how long the GPU was thought to take for it.
	Expected time.Duration
	Plan     sched.Plan

	// Sent is when it was decided, Ended when the scheduler knew its end.
	Sent, Ended protocol.Time
	// Result is nil where none came.
	Result *protocol.Result
}

// Took is how long the GPU worked on it, 0 if it did not: of an Infer the execution
// alone, which is what Expected is about.
func (a *Action) Took() time.Duration {
	if a.Result == nil {
		return 0
	}
	if a.Kind == protocol.Infer {
		return a.Result.Exec.Device
	}
	return a.Result.End.Sub(a.Result.Begin)
}

// Completed is when the GPU was done, and how much later that was than planned. It is
// known of what a worker did alone.
func (a *Action) Completed() (at protocol.Time, late time.Duration, known bool) {
	if a.Result == nil || a.Result.Code != protocol.OK {
		return 0, 0, false
	}
	at = a.Result.End
	if a.Kind == protocol.Infer {
		at = a.Result.Exec.End
	}
	return at, at.Sub(a.Plan.End), true
}
