package startup

import "clockwork/pkg/protocol"

// Output is the work for the shell after one Step, in the order given in doc.go.
type Output struct {
	// Actions may get lost; the machine sends them again.
	Actions []WorkerAction
	Replies []Reply
	// Store and Unstore are each confirmed by exactly one event with their token.
	Store   []Store
	Unstore []Unstore
	// SetStage must be carried out after Quarantined has replaced the quarantine in
	// KV. Quarantined is set with ACTIVE only.
	SetStage    *protocol.Stage
	Quarantined []Quarantine
	// StartProfiling is output again with the same Job when the profiler seems to
	// have lost the job.
	StartProfiling *ProfilingJob
	// Activate is the whole state for the scheduler that holds the lease; output again
	// while no scheduler is seen active.
	Activate *protocol.ClockworkState
	// JoinWorkers are workers that hold every model but those that they lack, and were not
	// part of the last Activate. Their Models are left out, as in Activate and in a job.
	JoinWorkers []protocol.WorkerState
	// JoinAgain are JoinWorkers of earlier steps that the active scheduler has not confirmed
	// within Resend; output again until it has.
	JoinAgain []protocol.WorkerState
	// DropWorkers are workers that left after they had been activated or joined.
	DropWorkers []string
	// Events lack At; the shell adds the wall-clock time.
	Events []protocol.Event
	// Confirm: a worker obeys another controller, or says so. If another one leads, Fenced
	// is owed, otherwise nothing: a worker's word alone ends no controller.
	Confirm bool
	// StepDown: another controller leads. This machine has answered all loads and outputs
	// nothing more.
	StepDown bool
	// Wake is the latest time for the next Tick; Never for none.
	Wake protocol.Time
}

// WorkerAction is an action and the worker it goes to.
type WorkerAction struct {
	Worker string
	Action protocol.Action
}

// Reply answers the load of Token; exactly one of Reply and Error is set.
type Reply struct {
	Token uint64
	Reply *protocol.LoadReply
	Error *protocol.Error
}

// Store requests a write of models to KV that takes effect for all of them or
// for none. The machine chooses Token. Without Models it is a question: a load of models
// that are accepted already is answered OK only by the controller that leads.
type Store struct {
	Token  uint64
	Models []protocol.ModelSpec
}

// Unstore requests the removal of models that a failed Store, or one that a
// controller crashed in, may have written to KV. Names that KV lacks are no error.
type Unstore struct {
	Token uint64
	Names []string
}

// ProfilingJob is the work of the profiler: measure every model on every GPU
// type of these workers. A job with another Job replaces it.
type ProfilingJob struct {
	// Job numbers the jobs of one machine from 1. It is not unique across restarts of
	// the controller; the shell makes it so.
	Job uint64
	// Models are sorted by name, Workers by id.
	Models  []protocol.ModelSpec
	Workers []protocol.WorkerState
	// Known are the known profiles of Models, sorted by key; complete ones need no
	// measuring.
	Known []protocol.Profile
}
