package sched

import (
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// phase is the state of a copy of a model on a GPU. A pending copy has a promise of its
// pages; from loading until gone the pages are allocated.
type phase uint8

const (
	pending      phase = iota // assigned to the GPU; its load has not been sent
	loading                   // LoadWeights is outstanding
	resident                  // the weights are on the GPU; the copy gets work
	draining                  // on the GPU, gets no more work, evicted when idle
	evicting                  // EvictWeights is outstanding, or is repeated after EvictRetry
	unknownPhase              // may or may not be on the GPU; evicted at once, or when retry fires
	gone                      // removed; no list holds it
)

var phaseNames = [...]string{"pending", "loading", "resident", "draining", "evicting", "doubted", "gone"}

// due is the owner of a timer: exactly one field is set.
type due struct {
	request *request // no GPU can serve it in time any more
	action  *action  // its result is overdue
	replica *replica // its eviction must be sent, possibly again
	gpu     *gpu     // its execution lane takes more work
	worker  *worker  // inputs that it missed count no more
}

// request is a Submission from its admission until its end. Between steps it is either
// waiting in its model's queue or a member of action.
type request struct {
	protocol.Submission
	// seq is the ticket of its arrival. rank is its place in the queue, which the
	// policy chooses: seq or deadline; the least is first, equal ranks by seq.
	seq  uint64
	rank int64
	// model is nil only for a request for an unknown model, which is not admitted.
	model *model
	// size is the batch size in items at which it runs alone: Batch, padded.
	size    int
	arrived protocol.Time
	// deadline is when the request must be done at the GPU: arrived + policy.target of
	// its budget.
	deadline protocol.Time
	// slack is how much later than planned it may begin (beginSlack).
	slack time.Duration
	// wayBack is how long its answer is expected to take to its client, 0 if that is not
	// known. answeredAt is when its front door claimed it, 0 if it has not yet.
	wayBack    time.Duration
	answeredAt protocol.Time
	// waiting: it is in its model's queue.
	waiting bool
	// cold: no GPU had its model when it arrived.
	cold bool
	// orphan: its front door is lost. It gets no refusal.
	orphan bool
	// withdrawn: its client went away. It is not planned again.
	withdrawn bool
	// late and unloaded: it was refused because no GPU could be in time any more, while
	// a GPU had its model (late) or none had (unloaded). For the learner.
	late     bool
	unloaded bool
	// attempts counts its failures, below Config.Attempts while it waits. failure is
	// the last error, also of a failure that does not count; nil for none.
	attempts int
	refusal  *protocol.Error
	// alone: a batch with it failed, so it runs as the only member of its next ones.
	// misses counts its batches that missed an input.
	alone  bool
	misses int
	// silence is the one for which it was blamed last.
	silence silence
	// ahead is how many requests of its model waited when it arrived.
	ahead int
	// tried is why its last action failed, whyUnknown if none failed.
	tried Why
	// demand is what it adds to the load priorities (demand.go); the planner's.
	demand demand
	// action is the action it is a member of, nil while it waits.
	action *action
	// prev and next are its neighbours in the queue.
	prev, next *request
	// timer fires when even an idle GPU would be late; set while waiting.
	timer heap.Node[due]
}

// before reports whether r precedes q in a queue.
func (r *request) before(q *request) bool {
	return r.rank < q.rank || r.rank == q.rank && r.seq < q.seq
}

// action was sent and has no result yet. Its fields do not change, except for members and
// overdue.
type action struct {
	id protocol.ActionID
	// kind is Infer, LoadWeights or EvictWeights; replica is the copy that it is about.
	kind    protocol.Kind
	replica *replica
	// members are the requests of an Infer that have not ended.
	members []*request
	// size is the batch size of an Infer, in items; count is its number of members when it
	// was sent. suspect: its only member has been blamed for a crash before (blame.go).
	// hung: the worker said that the GPU gets nothing done while this was its first Infer.
	size    int
	count   int
	suspect bool
	hung    bool
	// sent is when it was sent, latest the end of its window, takes its expected
	// duration.
	sent   protocol.Time
	latest protocol.Time
	takes  time.Duration
	// inputs is the size of an Infer's inputs that front doors send, in bytes. ready is when
	// they are expected to be in place, wait how long the lane is expected to stand idle for
	// them. missed: they may still be on their way after its end.
	inputs int64
	ready  protocol.Time
	wait   time.Duration
	missed bool
	// expected is when it ends if it begins as soon as it is sent.
	expected protocol.Time
	// overdue: its result is overdue, but does not count as lost yet. Only for an Infer.
	overdue bool
	// timer fires when the result is overdue, then when it counts as lost.
	timer heap.Node[due]
}

// end returns when the action ends if it begins at the end of its window.
func (a *action) end() protocol.Time { return a.latest.Add(a.takes) }

// replica is a model's copy on one GPU; a model has at most one on each.
type replica struct {
	model *model
	gpu   *gpu
	phase phase
	// busy counts the Infers without a result; > 0 prevents the eviction.
	busy int
	// used is the ticket of the last use: creation, load, or an Infer sent. No two
	// replicas have the same.
	used uint64
	// doubtful: the GPU's weights were lost while its load was under way, so its result
	// does not say whether the weights are there.
	doubtful bool
	// transfer is the outstanding LoadWeights or EvictWeights, nil for none.
	transfer *action
	// queueEntry is in gpu.runQueue while requests of the model wait for this copy; the
	// policy chooses its key. Only in phase resident.
	queueEntry heap.Node[*replica]
	// retry fires when evict must be called, in phases evicting and unknownPhase.
	retry heap.Node[due]
	// share is its part of the model's demand for execution, in units of demand.exec;
	// the planner sets it.
	share int64
}

// gpu mirrors one GPU.
//
// Invariants: foreign + allocated <= total; at most one LoadWeights is outstanding;
// infers is in the order of sending, which is the order of execution.
type gpu struct {
	// worker is nil once the worker is lost.
	worker *worker
	// id is the index at the worker; kind is the index of its type in engine.kinds.
	id   int
	kind int
	// total are all pages; foreign those with weights of models that are not of this
	// epoch; allocated those of replicas from loading until gone; promised those that
	// pending replicas need.
	total, foreign, allocated, promised int
	// able counts the models that it can hold.
	able int
	// leaving are the pages of draining and evicting replicas, part of allocated.
	leaving int
	// infers are the Infers without a result.
	infers []*action
	// replicas are in every phase but gone, in order of creation. pending are those of
	// them whose load has not been sent, in the order of loading. loading is the one
	// whose LoadWeights is outstanding, nil for none.
	replicas []*replica
	pending  []*replica
	loading  *replica
	// failures counts the failed loads of a model since the last that succeeded.
	failures map[*model]int
	// runQueue are resident replicas with waiting requests, the next to run first.
	runQueue heap.Heap[*replica]
	// dirty: the GPU is in engine.dirtyGPUs.
	dirty bool
	// stalled: the result of an Infer is overdue, or the GPU is down; see stall.go.
	stalled bool
	// down: its worker says that it gets nothing done. executor counts the executors that
	// ended, as the worker says.
	down     bool
	executor uint32
	// restartingSince is since when its worker says that the next executor begins, 0 if it does
	// not say so; restart is how long that took the last time.
	restartingSince protocol.Time
	restart         time.Duration
	// resultSeen is when the last result arrived that shows that the GPU executes, 0 for
	// never. crashedAt is when an executor ended with an Infer, 0 for never.
	resultSeen protocol.Time
	crashedAt  protocol.Time
	// draining: the GPU gets no more work until it is idle, because a blamed request is
	// next (blame.go). Between steps an Infer is outstanding at its worker then.
	draining bool
	// lane is the time of its outstanding Infers, slowdown how much slower it is than its type.
	lane     lane
	slowdown slowdown
	gpuPlan  // last, so that the lane and its timer are adjacent in memory
}

// vacant returns the number of pages that are neither foreign nor allocated.
func (g *gpu) vacant() int { return g.total - g.foreign - g.allocated }

// pagesOf returns how many of this GPU's pages a model takes.
func (g *gpu) pagesOf(m *model) int { return m.pages[g.kind] }

// pages returns how many pages the copy takes.
func (r *replica) pages() int { return r.gpu.pagesOf(r.model) }

// replica returns the copy of a model on this GPU, nil for none.
func (g *gpu) replica(m *model) *replica {
	for _, r := range m.replicas {
		if r.gpu == g {
			return r
		}
	}
	return nil
}

// worker is a live worker.
type worker struct {
	// id and incarnation name one process; one that starts again has another incarnation.
	id          string
	incarnation uint64
	// gpus are its GPUs, without duplicate indices.
	gpus []*gpu
	// hosted are the names of the models in its host memory, of any epoch.
	hosted map[string]bool
	// suspects counts its outstanding Infers with action.suspect, at most 1.
	suspects int
	inbound  inbound
	// delay are the times of its messages; the first samples come with its first
	// results.
	delay netDelay
}

// model is a model with its queue, a list ordered by (rank, seq).
//
// Invariants: queued and items are the numbers of requests and items in the queue.
type model struct {
	spec protocol.ModelSpec
	// itemBytes is the size of one item's inputs.
	itemBytes int64
	// outputBytes is the size of one item's outputs, wayBack that of its latest request.
	outputBytes int64
	wayBack     time.Duration
	// index is the number of models of the epoch that came before it; it breaks ties between
	// models.
	index uint64
	// head and tail are the ends of the queue, nil if it is empty.
	head, tail *request
	// queued is the number of requests in the queue, items the number of their items.
	queued int
	// recent counts its requests of late, for displays.
	recent recentRequests
	items  int
	// costs are the estimates by GPU type, nil without a complete profile of the model.
	costs []*cost
	// pages are those that it takes, by GPU type.
	pages []int
	// capable counts the live GPUs that can hold the model, by GPU type.
	capable []int
	// holders are its resident replicas, in the order in which they became resident;
	// replicas are in every phase but gone, in order of creation.
	holders  []*replica
	replicas []*replica
	// roundRobin is the index in holders where policy simple continues; it may be past
	// the end.
	roundRobin int
	// crashes are the times of the crashes that count for the quarantine, the oldest
	// first, at most Config.QuarantineAfter. quarantined is until when the model is
	// quarantined, 0 for never.
	crashes     []protocol.Time
	quarantined protocol.Time
	// retired: the model is not of the present set. It has no waiting requests, and its
	// copies are to be evicted.
	retired bool
	// dirty: the model is in engine.dirtyModels.
	dirty bool
	modelPlan
}

// capableGPUs returns how many live GPUs can hold the model.
func (m *model) capableGPUs() (n int) {
	for _, of := range m.capable {
		n += of
	}
	return n
}

// put inserts r into the queue by its rank. A new request belongs near the tail, so its
// place is searched from there; one that was queued before is older than most, so its
// place is searched from the head.
func (m *model) put(r *request) {
	m.queued++
	m.items += r.Batch
	after := m.tail
	if r.attempts == 0 {
		for after != nil && r.before(after) {
			after = after.prev
		}
	} else {
		after = nil
		for n := m.head; n != nil && n.before(r); n = n.next {
			after = n
		}
	}
	r.prev = after
	if after == nil {
		r.next, m.head = m.head, r
	} else {
		r.next, after.next = after.next, r
	}
	if r.next == nil {
		m.tail = r
	} else {
		r.next.prev = r
	}
}

// itemsUntil returns how many items of a queue by deadline are due at this time or earlier.
func (m *model) itemsUntil(due protocol.Time) (items int) {
	if m.tail != nil && m.tail.deadline <= due {
		return m.items
	}
	for q := m.head; q != nil && q.deadline <= due; q = q.next {
		items += q.Batch
	}
	return items
}

// take removes r from the queue.
func (m *model) take(r *request) {
	m.queuedAs = queueVersion{}
	m.queued--
	m.items -= r.Batch
	if r.prev == nil {
		m.head = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		m.tail = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
}

// without removes x from a list and keeps the order of the rest.
func without[T comparable](list []T, x T) []T {
	for i, e := range list {
		if e == x {
			var zero T
			copy(list[i:], list[i+1:])
			list[len(list)-1] = zero
			return list[:len(list)-1]
		}
	}
	return list
}
