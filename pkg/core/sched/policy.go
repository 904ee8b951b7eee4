package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// policy decides what the engine's books allow. The engine calls it while it
// handles an event; serve and fill alone, called when the event has been
// handled, send actions. A policy that keeps books of its own is a learner too.
type policy interface {
	// target is how long after its arrival a request of this budget is to be
	// done: the budget, or less to be on the safe side.
	target(budget time.Duration) time.Duration
	// rank is a request's place in the queue of its model; the least is first.
	rank(r *request) int64
	// offer is what serves a request that waits first, among what it is waited for;
	// false where no live GPU can. It changes nothing.
	offer(r *request) (quote, bool)
	// atIdle is how long a request takes from its arrival at a GPU that is idle: with
	// the weights, and with their load.
	atIdle(r *request) (exec, load time.Duration)
	// reachOf is how long an Infer sent now to a worker takes until it can begin; nil is
	// any worker.
	reachOf(w *worker) time.Duration
	// wanting is how many models wait for a load.
	wanting() int
	// admit says why a request that could be served in principle is refused.
	admit(r *request) *protocol.Error
	// replicaLeaves takes a copy out of what may serve; it is about to leave.
	replicaLeaves(r *replica)
	// serve sees to a model whose queue or copies changed, fill to a GPU on
	// which something ended, came or went.
	serve(m *model)
	fill(g *gpu)
	// inferArrival is when an Infer sent now could begin at an idle GPU.
	inferArrival(g *gpu) protocol.Time
}

// learner is a policy with books of its own about requests and executions. Its methods
// send nothing.
type learner interface {
	// reset forgets what was of an epoch.
	reset()
	// queued, started and ended follow a request: into the queue (again), out of
	// it into an action, and to its end.
	queued(r *request)
	started(r *request)
	ended(r *request)
	// observe learns from an execution that took so long.
	observe(a *action, took time.Duration)
	// stall takes note of a GPU that owes a result.
	stall(g *gpu)
}
