package sched

import (
	"maps"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// policy decides what the engine's books allow. The engine calls it while it
// handles an event; serve and fill alone, called when the event has been
// handled, send actions. One that learns is a learner as well.
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

// learner is a policy that keeps books of its own, of what became of requests and
// executions. It sends nothing.
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

// options are what the policies on lanes differ in.
type options struct {
	// edf orders a model's queue by deadline, else by arrival.
	edf bool
	// urgent serves first the model whose batch must begin first, else the one
	// whose first request came first.
	urgent bool
	// batch says how a batch is made.
	batch batching
	// priced gives up requests whose saving would cost more than it is worth
	// under pressure, yield takes the batch that yields most under overload.
	priced, yield bool
	// relief puts another copy only where there is less to do.
	relief bool
	// worth loads the models that serve most for the time of transfer, and none
	// that is not worth the GPU's time under pressure.
	worth bool
	// long runs batches longer than Config.MaxExec where every model on the GPU
	// has the time.
	long bool
	// early refuses at once, under overload, what comes too late in the queue.
	early bool
	// deferred lets a batch wait for more members until it must begin.
	deferred bool
	// original takes the constants and the deadlines of the original.
	original bool
}

// batching is a way to make batches.
type batching uint8

const (
	single   batching = iota // one request at a time
	full                     // the largest compiled size that is full
	largest                  // as many as wait and can be done in time
	adaptive                 // as many as wait, up to a bound that follows the latency
)

// presets are the policies that plan each GPU's lanes.
var presets = map[string]options{
	"clockwork": {edf: true, urgent: true, batch: largest, priced: true, yield: true, relief: true, worth: true, early: true, long: true},
	"faithful":  {urgent: true, batch: full, original: true},
	"fifo":      {batch: single},
	"aimd":      {batch: adaptive},
	"deferred":  {edf: true, urgent: true, batch: largest, priced: true, relief: true, worth: true, deferred: true, long: true},
}

// improvements are what Config.Without can switch off.
var improvements = map[string]func(*options){
	"edf":    func(r *options) { r.edf = false },
	"any":    func(r *options) { r.batch = full },
	"price":  func(r *options) { r.priced = false },
	"yield":  func(r *options) { r.yield = false },
	"relief": func(r *options) { r.relief = false },
	"worth":  func(r *options) { r.worth = false },
	"long":   func(r *options) { r.long = false },
	"early":  func(r *options) { r.early = false },
}

// Improvements are the names that Config.Without takes, sorted.
func Improvements() []string { return slices.Sorted(maps.Keys(improvements)) }

// Policies are the names that New knows, sorted.
func Policies() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(presets)), "simple", "echo")))
}

func policyNames() string { return strings.Join(Policies(), ", ") }
