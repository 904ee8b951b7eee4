package sched

import (
	"maps"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// planners are the policies that plan each GPU's lanes.
var planners = map[string]Options{
	"clockwork": {EDF: true, Urgent: true, Priced: true, Yield: true, Relief: true, Worth: true, Early: true, Long: true},
	"faithful":  {Urgent: true, Batch: Full, Original: true},
	"fifo":      {Batch: Single},
	"aimd":      {NewBound: newAIMD},
	"deferred":  {EDF: true, Urgent: true, Priced: true, Relief: true, Worth: true, Long: true, Defer: untilItMustBegin},
}

// improvements are what Config.Without can switch off.
var improvements = map[string]func(*Options){
	"edf":    func(o *Options) { o.EDF = false },
	"any":    func(o *Options) { o.Batch, o.NewBound = Full, nil },
	"price":  func(o *Options) { o.Priced = false },
	"yield":  func(o *Options) { o.Yield = false },
	"relief": func(o *Options) { o.Relief = false },
	"worth":  func(o *Options) { o.Worth = false },
	"long":   func(o *Options) { o.Long = false },
	"early":  func(o *Options) { o.Early = false },
}

// Improvements are the names that Config.Without takes, sorted.
func Improvements() []string { return slices.Sorted(maps.Keys(improvements)) }

// Policies are the names that New knows, sorted.
func Policies() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(planners)), "simple", "echo")))
}

func policyNames() string { return strings.Join(Policies(), ", ") }

// aimd is how far batches go under policy aimd, as in Clipper: one item more after each
// execution that was in time, a tenth less after one that was not. By model.
type aimd struct{ limits []float64 }

func newAIMD() BatchBound { return &aimd{} }

// Most implements BatchBound.
func (a *aimd) Most(model int) int { return int(*a.limit(model)) }

// Observe implements BatchBound.
func (a *aimd) Observe(e Execution) {
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

// untilItMustBegin has a batch wait for more members for as long as it would be in time
// with one more.
func untilItMustBegin(b GrowingBatch) protocol.Time {
	return b.Latest.Add(b.Takes - b.TakesMore - b.Ahead)
}
