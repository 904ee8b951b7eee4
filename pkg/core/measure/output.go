package measure

import "clockwork/pkg/protocol"

// Output is the work for the shell after one Step. Its slices are valid until
// the next Step.
type Output struct {
	// Actions may get lost; each then ends by its timeout.
	Actions []WorkerAction
	// Read requests profiles of earlier jobs; a later Read replaces it.
	Read *Read
	// Store requests writes of profiles, which replace the stored ones.
	Store []Store
	// Progress lacks At; the shell adds the wall-clock time. Done only grows within
	// a job, and never exceeds Total.
	Progress []protocol.Event
	// Setbacks are for logs and displays.
	Setbacks []Setback
	// Begun: the units to measure are determined. Report and Unfinished: the job
	// ended, with or without a report. nil otherwise.
	Begun      *Begun
	Report     *protocol.ProfileReport
	Unfinished *Unfinished
	// Confirm: a worker obeys another profiler, or says so. If another one holds the lease,
	// the shell ends the term.
	Confirm bool
	// Wake is the latest time for the next Tick; Never for none.
	Wake protocol.Time
}

// WorkerAction is an action and the worker it goes to.
type WorkerAction struct {
	Worker string
	Action protocol.Action
}

// Read requests stored profiles for the job with this id.
type Read struct {
	Job  uint64
	Keys []Wanted
}

// Key identifies what a job measures: a model's content on a type of GPU. All workers of a
// job have the same version of the backend.
type Key struct{ Digest, GPUType string }

// Wanted is a stored profile to read, with the backend that the job measures.
type Wanted struct {
	Key
	Backend, BackendVersion string
}

// Store is one profile to write, complete or not. At most one Store per Key is
// outstanding.
type Store struct {
	Token   protocol.ActionID
	Profile protocol.Profile
}

// Begun says how much work a job has: Units to measure, and Stored profiles that
// need no measuring.
type Begun struct {
	Job uint64
	// Models counts the models of the job, copies included.
	Models, Units, Stored int
}

// Unfinished reports that lost GPUs are needed for the remaining Units.
type Unfinished struct {
	Job   uint64
	Units int
}

// Setback is a problem that does not end the job.
type Setback struct {
	Kind SetbackKind
	// Model is the model being measured, "" for GPUHung.
	Model string
	// Worker, GPU (index) and Type (of the GPU) say where it happened.
	Worker string
	GPU    int
	Type   string
	// Times is how many times in a row it happened: to the action (ActionFailed), to
	// the GPU (NotCleared, GPUHung), or how many GPUs the unit has cost.
	Times  int
	Reason string
}

// SetbackKind is one of the kinds of this file.
type SetbackKind uint8

// The kinds of setback.
const (
	// ActionFailed: the action failed and is sent again.
	ActionFailed SetbackKind = iota + 1
	// NotCleared: ClearCache failed, because other work still runs on the GPU or it
	// gives no result.
	NotCleared
	// NoResult: the action timed out or its GPU was lost; the unit waits again.
	NoResult
	// NotMeasured: the unit got a verdict.
	NotMeasured
	// GPUHung: the GPU is not used any more in this job.
	GPUHung
)
