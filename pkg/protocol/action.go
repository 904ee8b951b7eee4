package protocol

import (
	"fmt"
	"time"
)

// ActionID identifies an action within its issuer's epoch.
type ActionID uint64

// Kind says what an action does.
type Kind uint8

// The kinds of action.
const (
	LoadModelFromDisk Kind = iota + 1
	LoadWeights
	EvictWeights
	Infer
	ClearCache
	GetWorkerState
	// Renew has a worker begin anew, as another incarnation that obeys no scheduler and holds
	// the same models in host memory, once it has ended what it has.
	Renew
)

var kindNames = [...]string{"?", "LoadModelFromDisk", "LoadWeights", "EvictWeights", "Infer", "ClearCache", "GetWorkerState", "Renew"}

// String returns the kind's name as the documentation writes it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// OnGPU reports whether an action of this kind changes what a GPU holds or does: workers
// accept these kinds only from the newest epoch.
func (k Kind) OnGPU() bool { return k == LoadWeights || k == EvictWeights || k == Infer }

// Action is an order to a worker. The worker executes exactly this action within the
// window, or answers with a Result that says why not.
type Action struct {
	ID ActionID
	// Issuer is the random identity of the process that sent the action; the Result
	// carries it back. (Issuer, ID) is unique: a second action with the same pair is
	// answered with the first one's result.
	Issuer uint64
	// Epoch fences: a worker refuses actions of an epoch lower than the highest it has
	// seen. 0 claims no epoch (controller and profiler before the first activation).
	Epoch uint64
	// Leader fences controllers and profilers, as Epoch does schedulers.
	Leader Leader
	// Incarnation is the worker incarnation that the action is for; 0 means any.
	Incarnation uint64
	Kind        Kind
	// The action begins in [Earliest, Latest]. Expected is the issuer's predicted
	// duration, for the record.
	Earliest, Latest Time
	Expected         time.Duration

	// GPU is the index of the GPU (LoadWeights, EvictWeights, Infer, and ClearCache,
	// where -1 means all).
	GPU int
	// Model is the name of the model (LoadWeights, EvictWeights, Infer).
	Model string
	// Batch is the size at which Infer runs: at least the number of items in Requests;
	// the rest is padding.
	Batch int
	// Requests are the members of the batch, in order. An Infer without requests runs on
	// generated inputs and returns no output: a measurement.
	Requests []RequestRef
	// Load is set for LoadModelFromDisk.
	Load *LoadSpec
	// Lean asks GetWorkerState for a state without models and profiles.
	Lean bool
	// Models are the models that ClearCache also removes from host memory; if empty, it
	// only evicts weights.
	Models []string
}

// RequestRef is a request inside an action.
type RequestRef struct {
	ID RequestID
	// Batch is how many items the request holds.
	Batch int
	// Generated: the request has no input; the worker generates one.
	Generated bool
}

// Items returns how many items the requests of an Infer hold together.
func (a *Action) Items() int {
	n := 0
	for _, r := range a.Requests {
		n += r.Batch
	}
	return n
}

// LoadSpec says what LoadModelFromDisk loads.
type LoadSpec struct {
	Path string
	// Names are the model names of the copies: one host model, separate weights on the
	// GPUs.
	Names []string
	// Version and Digest pin what was loaded before: exactly that is loaded, or the load
	// fails with MODEL_CHANGED. Version 0 is the highest, or with a Digest any; Digest ""
	// is any.
	Version int
	Digest  string
	// Compare only reads version and digest of what is at the path now, and keeps
	// nothing; the result's Loaded holds these two alone.
	Compare bool
	// MaxBatch bounds the batch sizes (0: no bound). MaxExec leaves out batch sizes that
	// take longer; batch 1 always stays (0: no bound).
	MaxBatch int
	MaxExec  time.Duration
	// Within is how long the load may take from its arrival at the worker, 0 for any time:
	// its issuer gives it up then, and the worker ends it.
	Within time.Duration
}

// Phase is one of the three parts of an action's execution. Begin and End are in the
// worker's clock; Device is the duration that the device measured (equal to their
// difference if the device has no clock of its own).
type Phase struct {
	Begin, End Time
	Device     time.Duration
}

// Result is a worker's answer to one action. A worker sends exactly one for each.
type Result struct {
	Action ActionID
	Issuer uint64
	// Epoch is the highest epoch the worker has seen; Incarnation is the worker's.
	// Worker comes from the subject, never from the message.
	Epoch       uint64
	Incarnation uint64
	Worker      string

	Kind    Kind
	Code    Code
	Message string
	GPU     int
	Model   string
	Batch   int

	// Received is when the worker received the action, Sent when it sent this result;
	// Begin and End enclose the execution (0 if it never began).
	Received, Begin, End, Sent Time
	// Input, Exec and Output are the parts of an Infer; LoadWeights and EvictWeights use
	// only Exec.
	Input, Exec, Output Phase

	// Loaded holds the copies that LoadModelFromDisk made, Profiles the stored
	// measurements that came with the model.
	Loaded   []ModelSpec
	Profiles []Profile
	// State is the answer to GetWorkerState.
	State *WorkerState
}
