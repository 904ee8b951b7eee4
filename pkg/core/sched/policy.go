package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// policy decides which of the possible actions the engine sends. The engine calls it while
// it handles an event. Only serve and fill send actions; the engine calls them after it
// has handled the event. A policy with state of its own is also a learner.
type policy interface {
	// target returns how long after its arrival a request with this budget must be done
	// at the GPU: the budget, less a reserve. wayBack is how long its answer takes to its
	// client, 0 if that is not known.
	target(budget, wayBack time.Duration) time.Duration
	// rank orders the queue of a model; the least rank is first.
	rank(r *request) int64
	// offer returns the copy or load that would serve a waiting request first, among
	// those that it may wait for; false if no live GPU can. It changes nothing.
	offer(r *request) (quote, bool)
	// atIdle returns how long after its arrival a request would be done on an idle GPU:
	// one with the weights, and one that loads them.
	atIdle(r *request) (exec, load time.Duration)
	// reachOf returns how long an Infer sent now to a worker with inputs of so many bytes
	// takes until it can begin; nil stands for any worker.
	reachOf(w *worker, inputs int64) time.Duration
	// wanting returns how many models wait for a load.
	wanting() int
	// admit returns why a request is refused that some GPU can serve; nil to admit it.
	admit(r *request) *protocol.Error
	// replicaLeaves is called when a resident copy may not be used any more.
	replicaLeaves(r *replica)
	// serve handles a model whose queue or copies changed, fill a GPU on which an action
	// ended or a copy was added or removed.
	serve(m *model)
	fill(g *gpu)
	// arrivalOf returns when an Infer sent now with inputs of so many bytes, and these, will
	// be at a GPU.
	arrivalOf(g *gpu, inputs int64) arrivalTimes
}

// arrivalTimes are when an Infer that is sent now will be at its GPU.
type arrivalTimes struct {
	// begin is when it can begin at an idle GPU, as plans assume it.
	begin protocol.Time
	// inputs is when its inputs are likely to be in place, later than begin or not; 0 if they
	// are as quick as the messages, or the policy takes them to be.
	inputs protocol.Time
}

// learner is a policy with state of its own about requests and executions. Its methods
// send nothing.
type learner interface {
	// reset removes the state of an epoch.
	reset()
	// queued, started and ended follow a request: when it enters the queue (possibly
	// again), leaves it for an action, and ends.
	queued(r *request)
	started(r *request)
	ended(r *request)
	// observe takes the measured duration of a successful execution.
	observe(a *action, took time.Duration)
}
