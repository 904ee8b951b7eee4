package measure

import "clockwork/pkg/protocol"

// Output is what the shell has to do after one Step. Its slices are valid until
// the next Step.
type Output struct {
	Actions []WorkerAction
	// Read asks for profiles of earlier jobs; a later Read replaces it.
	Read *Read
	// Store asks for profiles to be written, in place of what stands there.
	Store []Store
	// Progress lacks At; the shell knows the wall time. Done only grows within a
	// job, and never exceeds Total.
	Progress []protocol.Event
	// Setbacks are for people.
	Setbacks []Setback
	// Begun, Report and Unfinished are about the job: it is known what must be
	// measured; it ended, with a report or without.
	Begun      *Begun
	Report     *protocol.ProfileReport
	Unfinished *Unfinished
	// Wake is when a Tick is due at the latest; Never for none.
	Wake protocol.Time
}

// WorkerAction is an action and the worker it goes to.
type WorkerAction struct {
	Worker string
	Action protocol.Action
}

// Read asks for stored profiles, for the job of this id.
type Read struct {
	Job  uint64
	Keys []Key
}

// Key is what a stored profile is found by.
type Key struct{ Digest, GPUType string }

// Store is one profile to write. At most one of a Key is outstanding.
type Store struct {
	Token   protocol.ActionID
	Profile protocol.Profile
}

// Begun says how much a job has to do: Units to measure, Stored profiles that
// need not be measured.
type Begun struct {
	Job                   uint64
	Models, Units, Stored int
}

// Unfinished says that GPUs were lost that Units still need.
type Unfinished struct {
	Job   uint64
	Units int
}

// Setback is something that went wrong and does not end the job.
type Setback struct {
	Kind   SetbackKind
	Model  string // what was measured
	Worker string // where
	GPU    int
	Type   string // of the GPU
	Times  int    // in a row
	Reason string
}

// SetbackKind is one of the kinds of this file.
type SetbackKind uint8

// The kinds of setback.
const (
	// ActionFailed: the action is sent again.
	ActionFailed SetbackKind = iota + 1
	// NotCleared: what runs on the GPU does not end, or it gives no result.
	NotCleared
	// NoResult: the unit goes back to those that wait.
	NoResult
	// NotMeasured: a verdict on the unit.
	NotMeasured
	// GPUHung: the GPU is not used any more in this job.
	GPUHung
)
