package sched

import (
	"time"

	"clockwork/pkg/protocol"
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
	// Batch says how a batch is made, where NewBound does not.
	Batch Batching
	// NewBound, if there is one, makes for each epoch what bounds its batches. As many
	// as wait run together then, up to the bound and whether they are in time or not.
	NewBound func() BatchBound
	// Defer, if there is one, says until when a batch that could grow waits for more
	// members; now or earlier sends it at once. The GPU may run another model meanwhile.
	Defer func(GrowingBatch) protocol.Time
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
	// Original takes the constants and the deadlines of the original: messages take
	// Config.Future, whatever results say, and tight budgets have no buffer.
	Original bool
}

// Batching is a way to make batches.
type Batching uint8

const (
	Largest Batching = iota // as many as wait and can be done in time
	Full                    // the largest compiled size of which there are enough, as the original does
	Single                  // one request at a time
)

// BatchBound bounds the batches of one epoch by what its executions show. Models are
// numbered in the order of the state, from 0.
type BatchBound interface {
	// Most is how many items a batch of the model may have, at least 1. A request of
	// more runs alone.
	Most(model int) int
	// Observe is told of each execution that succeeded, in the order of the results.
	Observe(Execution)
}

// Execution is one that succeeded.
type Execution struct {
	Model int  // its number
	Batch int  // the size at which it ran
	Limit int  // the largest that the model can run at
	Late  bool // for some request that waited for it
}

// GrowingBatch is a batch that could begin now and is smaller than its GPU may run.
type GrowingBatch struct {
	// Latest is when it has to begin to be in time for all its members.
	Latest protocol.Time
	// Takes is how long it is expected to run, and TakesMore with one item more.
	Takes, TakesMore time.Duration
	// Ahead is how long before its beginning work is sent.
	Ahead time.Duration
}

// planners are the policies of a scheduler service that plan each GPU's lanes: ours, and
// the original's choices, by which it is measured.
var planners = map[string]Options{
	"clockwork": {EDF: true, Urgent: true, Priced: true, Yield: true, Relief: true, Worth: true, Early: true, Long: true},
	"faithful":  {Urgent: true, Batch: Full, Original: true},
}

// PlannerOptions are the rules of one of Policies that plans lanes; false of another.
func PlannerOptions(policy string) (Options, bool) {
	o, ok := planners[policy]
	return o, ok
}
