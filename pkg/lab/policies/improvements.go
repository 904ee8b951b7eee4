package policies

import (
	"maps"
	"slices"

	"clockwork/pkg/core/sched"
)

// improvements are what Config.Without can switch off; docs/adr/0011-scheduling.md says
// what each does, and what it gains.
var improvements = map[string]func(*sched.Options){
	"edf":     func(o *sched.Options) { o.EDF = false },
	"any":     func(o *sched.Options) { o.Batch, o.NewBound = sched.Full, nil },
	"pays":    func(o *sched.Options) { o.Paying = false },
	"price":   func(o *sched.Options) { o.Priced = false },
	"yield":   func(o *sched.Options) { o.Yield = false },
	"bounded": func(o *sched.Options) { o.Bounded = false },
	"relief":  func(o *sched.Options) { o.Relief = false },
	"worth":   func(o *sched.Options) { o.Worth = false },
	"long":    func(o *sched.Options) { o.Long = false },
	"inputs":  func(o *sched.Options) { o.Inputs = false },
	"back":    func(o *sched.Options) { o.WayBack = false },
	"early":   func(o *sched.Options) { o.Early = false },
}

// Improvements are the names that Config.Without takes, sorted.
func Improvements() []string { return slices.Sorted(maps.Keys(improvements)) }
