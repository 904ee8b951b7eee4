package startup

import "clockwork/pkg/protocol"

// Output is what the shell has to do after one Step, in the order of doc.go.
type Output struct {
	Actions []WorkerAction
	Replies []Reply
	Store   []Store
	Unstore []Unstore
	// SetStage is done after Quarantined stands in KV, in place of what stood
	// there of that; it is set with ACTIVE only.
	SetStage    *protocol.Stage
	Quarantined []Quarantine
	// StartProfiling is given again with the same Job when the profiler seems
	// to have lost it.
	StartProfiling *ProfilingJob
	Activate       *protocol.ClockworkState
	// JoinWorkers are workers that hold every model and were not part of the
	// last Activate; DropWorkers left after they had been part of it.
	JoinWorkers []protocol.WorkerState
	DropWorkers []string
	// Events lack At; the shell knows the wall time.
	Events []protocol.Event
	// StepDown: another controller moved the stage. This machine has answered
	// all loads and does nothing more.
	StepDown bool
	// Wake is when a Tick is due at the latest; Never for none.
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

// Store asks for models to be written to KV, so that they count there only all
// together. Tokens are the machine's own.
type Store struct {
	Token  uint64
	Models []protocol.ModelSpec
}

// Unstore asks for models to be removed from KV that a failed Store may have
// written, or one that a controller did not live to finish.
type Unstore struct {
	Token uint64
	Names []string
}

// ProfilingJob is what the profiler measures: every model on every type of
// GPU of these workers. One with another Job replaces it. Known are profiles that need not be measured again.
type ProfilingJob struct {
	Job     uint64
	Models  []protocol.ModelSpec
	Workers []protocol.WorkerState
	Known   []protocol.Profile
}
