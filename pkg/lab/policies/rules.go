package policies

import (
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// aimd bounds batches as Clipper does (NSDI 2017): one item more after an execution of a
// full batch that was in time, a tenth less after a late one.
type aimd struct{ limits []float64 } // by model, each at least 1

func newAIMD() sched.BatchBound { return &aimd{} }

// Most implements sched.BatchBound.
func (a *aimd) Most(model int) int { return int(*a.limit(model)) }

// Observe implements sched.BatchBound.
func (a *aimd) Observe(e sched.Execution) {
	limit := a.limit(e.Model)
	switch {
	case e.Late:
		*limit = max(1, *limit*0.9)
	case e.Batch >= int(*limit):
		*limit = min(*limit+1, float64(e.Limit))
	}
}

func (a *aimd) limit(model int) *float64 {
	for len(a.limits) <= model {
		a.limits = append(a.limits, 1)
	}
	return &a.limits[model]
}

// untilItMustBegin is the rule of policy deferred: a batch waits for more requests as long
// as it would be in time with one more.
func untilItMustBegin(b sched.GrowingBatch) protocol.Time {
	return b.Latest.Add(b.Takes - b.TakesMore - b.Ahead)
}
