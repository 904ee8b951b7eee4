package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// Options are the rules of the planner, which predicts when each GPU's lanes are free and
// sends work shortly before. Policies clockwork and faithful, and most of the
// laboratory's, are planners with different rules. With the zero value, queues are in the
// order of arrival, batches are as large as the deadlines allow, and models are loaded by
// the original's load priorities.
type Options struct {
	// EDF orders a model's queue by deadline. False: by arrival.
	EDF bool
	// Urgent has a GPU run the model whose batch must begin first. False: the model
	// whose first request arrived first.
	Urgent bool
	// Batch is how batches are made, unless NewBound is set.
	Batch Batching
	// NewBound makes the bound of all batches of an epoch; nil is none. With it a batch is
	// as many requests as wait, up to the bound, even if they will miss their deadlines.
	NewBound func() BatchBound
	// Defer returns until when a batch that could grow waits for more requests; nil
	// waits for none. A batch whose time is now or has passed is sent. While it waits,
	// the GPU may run other models.
	Defer func(GrowingBatch) protocol.Time
	// Paying makes no batch larger than pays by the profile: where a larger one saves no
	// time, its items run one by one.
	Paying bool
	// Priced gives up, under pressure, requests whose batch would cost more of a GPU's
	// time than they are worth.
	Priced bool
	// Yield runs, under overload, the batch that serves most for its time among those
	// that must begin soon. False: always the most urgent batch.
	Yield bool
	// Bounded counts the requests of tighter models that miss their deadlines because of a
	// long execution as its cost. A GPU for which it costs more than it serves runs
	// something else, or waits.
	Bounded bool
	// Relief puts another copy of a model only on a GPU that has no more work than the
	// least busy GPU with a copy.
	Relief bool
	// Worth loads first the models whose load serves most requests for its time, and
	// under pressure only models that are worth a GPU's time. False: by load priority.
	Worth bool
	// Long allows batches that take longer than Config.MaxExec, if every model on the
	// GPU can spare the time.
	Long bool
	// Early refuses requests at arrival if they would be late behind those of their model
	// that wait; under overload also if their model's queue is far too long at its rate.
	Early bool
	// Inputs plans the time that large inputs take to a worker. False: as long as a message.
	Inputs bool
	// WayBack leaves as much of a request's budget for its answer's way to the client as such
	// answers of its front door have taken. False: a share of the budget.
	WayBack bool
	// Original uses the constants of the original: every message takes Config.Future,
	// whatever the results show, and tight deadlines have no buffer.
	Original bool
}

// Batching is a way to make batches.
type Batching uint8

const (
	Largest Batching = iota // as many requests as wait and meet their deadlines
	Full                    // the original's: the largest compiled size that waiting requests fill
	Single                  // one request at a time
)

// BatchBound bounds the batches of one epoch, for example by the executions so far. Models
// are numbered in the order of the state, from 0.
type BatchBound interface {
	// Most returns how many items a batch of the model may have, at least 1. A request
	// with more items runs alone.
	Most(model int) int
	// Observe receives each execution that succeeded, in the order of the results.
	Observe(Execution)
}

// Execution describes an execution that succeeded.
type Execution struct {
	Model int  // the model's number
	Batch int  // the batch size at which it ran
	Limit int  // the model's largest batch size
	Late  bool // it missed a deadline of its requests
}

// GrowingBatch describes a batch that could be sent now and is smaller than its model may
// run on the GPU.
type GrowingBatch struct {
	// Latest is when it must begin so that all its requests are in time.
	Latest protocol.Time
	// Takes is its expected duration, TakesMore the duration with one item more.
	Takes, TakesMore time.Duration
	// Ahead is how long before its beginning work is sent.
	Ahead time.Duration
}

// planners are the planner's rules under the policies of a scheduler service: clockwork's,
// and the original's, by which clockwork is measured.
var planners = map[string]Options{
	"clockwork": {EDF: true, Urgent: true, Paying: true, Priced: true, Yield: true, Bounded: true, Relief: true, Worth: true, Early: true, Long: true, Inputs: true, WayBack: true},
	"faithful":  {Urgent: true, Batch: Full, Original: true},
}

// PlannerOptions returns the planner's rules under one of Policies; false for a policy that
// is no planner.
func PlannerOptions(policy string) (Options, bool) {
	o, ok := planners[policy]
	return o, ok
}
