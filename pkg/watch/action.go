package watch

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Action is one of the scheduler's actions, complete from sending to end. Times are in
// the scheduler's clock.
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
	// Expected is the predicted GPU time of the action.
	Expected time.Duration
	Plan     sched.Plan

	// Sent is when the scheduler decided on the action, Ended when the scheduler learned
	// how the action ended.
	Sent, Ended protocol.Time
	// Result is nil if no result arrived.
	Result *protocol.Result
}

// Took returns how long the GPU worked on the action, 0 if the GPU did not run it. For
// an Infer the duration covers the execution alone, as Expected does.
func (a *Action) Took() time.Duration {
	if a.Result == nil {
		return 0
	}
	if a.Kind == protocol.Infer {
		return a.Result.Exec.Device
	}
	return a.Result.End.Sub(a.Result.Begin)
}

// Completed returns when the GPU finished, and how much later that was than planned.
// known is true only for actions with the result OK.
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
