package sched

import (
	"maps"
	"slices"
	"strings"
)

// Options are the rules in which the policies that plan each GPU's lanes differ. The
// zero value runs the largest batch that waits, in the order of arrival, and loads by
// the original's priorities.
type Options struct {
	// EDF orders a model's queue by deadline, else by arrival.
	EDF bool
	// Urgent has a GPU serve the model whose batch must begin first, else the one whose
	// first request came first.
	Urgent bool
	// Batch says how a batch is made.
	Batch Batching
	// Priced gives requests up, under pressure, whose saving would cost more of a GPU's
	// time than it is worth.
	Priced bool
	// Yield takes, under overload, the batch that yields most of those that must begin
	// soon, instead of the most urgent one.
	Yield bool
	// Relief puts another copy of a model only on a GPU that has no more to do than the
	// least busy one with a copy.
	Relief bool
	// Worth loads the models first whose load serves most for the time of transfer, and
	// under pressure none that is not worth a GPU's time; else all go by load priority.
	Worth bool
	// Long runs batches that take longer than Config.MaxExec where every model on the
	// GPU can spare the time.
	Long bool
	// Early refuses at once, under overload, what comes too late in the queue of its
	// model.
	Early bool
	// Deferred lets a batch wait for more members until it must begin.
	Deferred bool
	// Original takes the constants and the deadlines of the original: messages take
	// Config.Future, whatever results say, and tight budgets have no buffer.
	Original bool
}

// Batching is a way to make batches.
type Batching uint8

const (
	Largest  Batching = iota // as many as wait and can be done in time
	Full                     // the largest compiled size of which there are enough, as the original does
	Single                   // one request at a time
	Adaptive                 // as many as wait, up to a bound that follows the latency
)

// planners are the policies that plan each GPU's lanes.
var planners = map[string]Options{
	"clockwork": {EDF: true, Urgent: true, Priced: true, Yield: true, Relief: true, Worth: true, Early: true, Long: true},
	"faithful":  {Urgent: true, Batch: Full, Original: true},
	"fifo":      {Batch: Single},
	"aimd":      {Batch: Adaptive},
	"deferred":  {EDF: true, Urgent: true, Priced: true, Relief: true, Worth: true, Deferred: true, Long: true},
}

// improvements are what Config.Without can switch off.
var improvements = map[string]func(*Options){
	"edf":    func(o *Options) { o.EDF = false },
	"any":    func(o *Options) { o.Batch = Full },
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
