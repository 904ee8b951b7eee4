package startup

import "clockwork/pkg/protocol"

// Event is something that happened; one of the types of this file.
type Event interface{ event() }

// Started is the first event: what KV holds. Stage is 0 where there is none.
// Torn are names of models of loads that were not stored as a whole, so were
// never accepted. Quarantined is by Model.
type Started struct {
	Stage       protocol.Stage
	Models      []protocol.ModelSpec
	Torn        []string
	Profiles    []protocol.Profile
	Quarantined []Quarantine
}

// WorkerSeen is a worker's first heartbeat, or the first of a new life.
type WorkerSeen struct {
	ID          string
	Incarnation uint64
}

// WorkerLost says that this life of a worker ended. One of an earlier life
// than the last seen is ignored.
type WorkerLost struct {
	ID          string
	Incarnation uint64
}

// WorkerAnswered is the answer to GetWorkerState; State.ID comes from the
// subject.
type WorkerAnswered struct{ State protocol.WorkerState }

// LoadAsked is a client's load. Token is the shell's, never used twice.
type LoadAsked struct {
	Token   uint64
	Request protocol.LoadRequest
}

// LoadResult is a worker's result of LoadModelFromDisk or ClearCache. Results
// of other issuers and unknown actions are ignored.
type LoadResult struct{ Result protocol.Result }

// ModelsStored confirms the Store of this token: all its models are in KV.
type ModelsStored struct{ Token uint64 }

// StoreFailed says that the Store of this token failed or may have failed.
type StoreFailed struct{ Token uint64 }

// ModelsUnstored confirms the Unstore of this token: none of its models is in
// KV.
type ModelsUnstored struct{ Token uint64 }

// StageStored confirms SetStage.
type StageStored struct{ Stage protocol.Stage }

// StageConflict says that SetStage was not done; Stage is what KV holds, 0
// where the shell could not read it.
type StageConflict struct{ Stage protocol.Stage }

// ProfilerSeen is a profiler's heartbeat. Job is what it works on, 0 for idle.
type ProfilerSeen struct {
	Incarnation uint64
	Job         uint64
}

// ProfilingDone is the profiler's report of a job.
type ProfilingDone struct {
	Job         uint64
	Profiles    []protocol.Profile
	Quarantined []Quarantine
}

// Quarantine says why a model cannot be served. Digest names all copies;
// where it is empty, Model names one.
type Quarantine struct{ Model, Digest, Reason string }

// SchedulerSeen is a scheduler's heartbeat. Epoch is that of one that holds the
// lease, 0 of one that stands by.
type SchedulerSeen struct {
	Active bool
	Epoch  uint64
}

// Tick says only that time has passed.
type Tick struct{}

func (Started) event()        {}
func (WorkerSeen) event()     {}
func (WorkerLost) event()     {}
func (WorkerAnswered) event() {}
func (LoadAsked) event()      {}
func (LoadResult) event()     {}
func (ModelsStored) event()   {}
func (StoreFailed) event()    {}
func (ModelsUnstored) event() {}
func (StageStored) event()    {}
func (StageConflict) event()  {}
func (ProfilerSeen) event()   {}
func (ProfilingDone) event()  {}
func (SchedulerSeen) event()  {}
func (Tick) event()           {}
