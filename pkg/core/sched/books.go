package sched

import (
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// phase is where a copy of a model on a GPU stands. Pages are allocated from
// loading on until the copy is gone; pending holds a promise of them.
type phase uint8

const (
	pending phase = iota
	loading
	resident
	draining // resident, gets no more work, evicted when idle
	evicting
	unknownPhase // may or may not be there until its retry, which evicts it
	gone
)

var phaseNames = [...]string{"pending", "loading", "resident", "draining", "evicting", "doubted", "gone"}

// due says whose timer fired: exactly one field is set.
type due struct {
	request *request // its last moment in the queue has passed
	action  *action  // its result is overdue
	replica *replica // its eviction is to be tried again
	gpu     *gpu     // its execution lane takes more work
}

// request is what is known of a Submission until its end: waiting in its
// model's queue, or a member of its action.
type request struct {
	protocol.Submission
	seq        uint64 // order of arrival
	rank       int64  // its place in the queue: seq or deadline, as the policy says
	model      *model
	size       int // at which it runs alone: Batch, padded
	arrived    protocol.Time
	deadline   protocol.Time // the last moment at which it may be done
	waiting    bool          // in its model's queue
	cold       bool
	orphan     bool // its door is lost
	late       bool // refused because its time was over, though a GPU had its model
	unloaded   bool // refused because its time was over, and no GPU had its model
	attempts   int
	failure    *protocol.Error // the last, of a request put back
	ahead      int             // requests of its model that waited when it came
	tried      Why             // what its last action failed by; whyUnknown: none did
	demand     demand
	action     *action
	prev, next *request
	timer      heap.Node[due]
}

func (r *request) before(q *request) bool {
	return r.rank < q.rank || r.rank == q.rank && r.seq < q.seq
}

// action is one that was sent and has no result yet. Members are the requests
// of an Infer that still wait for it.
type action struct {
	id       protocol.ActionID
	kind     protocol.Kind
	replica  *replica
	members  []*request
	size     int // at which Infer runs
	sent     protocol.Time
	latest   protocol.Time
	takes    time.Duration
	expected protocol.Time // when it ends if it begins at once
	overdue  bool          // its result is overdue, though not given up yet
	timer    heap.Node[due]
}

// end is when it should have ended at the latest.
func (a *action) end() protocol.Time { return a.latest.Add(a.takes) }

// replica is a model's copy on one GPU.
type replica struct {
	model *model
	gpu   *gpu
	phase phase
	busy  int    // Infer actions outstanding
	used  uint64 // ticket of the last use; unique
	// transfer is the LoadWeights or EvictWeights outstanding.
	transfer   *action
	queueEntry heap.Node[*replica] // in gpu.runQueue, keyed as the policy says
	retry      heap.Node[due]
	share      int64 // of its model's demand for execution
}

// gpu mirrors one GPU. Invariants: foreign + allocated <= total; at most one
// LoadWeights outstanding; infers is in the order of sending.
type gpu struct {
	worker                              *worker
	id                                  int
	kind                                int // index of its type
	total, foreign, allocated, promised int
	leaving                             int // pages of draining and evicting replicas
	infers                              []*action
	replicas                            []*replica // every phase but gone, in order of creation
	pending                             []*replica
	loading                             *replica
	failures                            map[*model]int      // of loads since the last that succeeded
	runQueue                            heap.Heap[*replica] // resident models that wait for this GPU
	dirty                               bool
	stalled                             bool          // an Infer has no result in time
	resultSeen                          protocol.Time // when a result came from it last
	lane                                lane
	slowdown                            slowdown
	gpuPlan                             // last, so that the lane and its timer are adjacent in memory
}

func (g *gpu) vacant() int { return g.total - g.foreign - g.allocated }

func (g *gpu) replica(m *model) *replica {
	for _, r := range m.replicas {
		if r.gpu == g {
			return r
		}
	}
	return nil
}

// worker is a live worker; hosts are the models in its host memory.
type worker struct {
	id          string
	incarnation uint64
	gpus        []*gpu
	hosted      map[string]bool
	delay       netDelay
}

// model is a model of the epoch and its queue, a list ordered by (rank, seq).
type model struct {
	spec       protocol.ModelSpec
	index      uint64
	head, tail *request
	queued     int
	submitted  uint64     // requests since the epoch began
	items      int        // of the queued requests together
	costs      []*cost    // by GPU type; nil where nothing is known
	capable    []int      // GPUs that can hold it, by GPU type
	holders    []*replica // phase resident
	replicas   []*replica // every phase but gone
	roundRobin int        // over holders, under policy simple
	dirty      bool
	modelPlan
}

// capableGPUs is how many live GPUs can hold the model.
func (m *model) capableGPUs() (n int) {
	for _, of := range m.capable {
		n += of
	}
	return n
}

// put inserts r by its rank. New requests belong near the tail and are placed
// from there; those put back are older than nearly all and come from the head.
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
