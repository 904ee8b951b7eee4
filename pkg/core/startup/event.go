package startup

import "clockwork/pkg/protocol"

// Event is an input of Step: one of the types in this file.
type Event interface{ event() }

// Started is the first event: the content of KV.
type Started struct {
	// Stage is 0 if KV holds none.
	Stage protocol.Stage
	// Models are the models of completely stored loads; they are accepted. Torn names
	// models of loads that were only partly stored and therefore never accepted.
	Models []protocol.ModelSpec
	Torn   []string
	// Profiles are the stored profiles, complete or not.
	Profiles []protocol.Profile
	// Quarantined are the models not served in ACTIVE, sorted by Model; ignored in
	// earlier stages.
	Quarantined []Quarantine
}

// WorkerSeen is the first heartbeat of a worker or of its new incarnation.
type WorkerSeen struct {
	ID          string
	Incarnation uint64
}

// WorkerLost reports the end of this incarnation of a worker. The event is
// ignored if a later incarnation has been seen.
type WorkerLost struct {
	ID          string
	Incarnation uint64
}

// WorkerAnswered is the answer to GetWorkerState; State.ID comes from the
// subject.
type WorkerAnswered struct{ State protocol.WorkerState }

// LoadRequested is a client's load request. The shell chooses Token and never reuses
// it. Exactly one Reply with this Token follows, in this step or a later one.
type LoadRequested struct {
	Token   uint64
	Request protocol.LoadRequest
}

// LoadResult is a worker's result of LoadModelFromDisk or ClearCache. A result of
// GetWorkerState is taken as WorkerAnswered. Results for other issuers and for unknown
// actions are ignored.
type LoadResult struct{ Result protocol.Result }

// ModelsStored confirms the Store with this token: all its models are in KV.
type ModelsStored struct{ Token uint64 }

// StoreFailed reports that the Store with this token failed or may have failed.
type StoreFailed struct{ Token uint64 }

// ModelsUnstored confirms the Unstore with this token: none of its models is in
// KV.
type ModelsUnstored struct{ Token uint64 }

// StageStored confirms SetStage: KV holds Stage.
type StageStored struct{ Stage protocol.Stage }

// StageConflict reports that SetStage was not carried out. Stage is the stage in
// KV, 0 if the shell could not read it.
type StageConflict struct{ Stage protocol.Stage }

// Fenced reports that another controller has taken the lead: the store takes nothing more
// from this one. It takes the place of the confirmation that a Store, Unstore, SetStage or
// Confirm is owed.
type Fenced struct{}

// ProfilerSeen is a heartbeat of the profiler that holds the lease: others get no jobs. Job
// is its current job by this machine's number, 0 if idle.
type ProfilerSeen struct {
	Incarnation uint64
	Job         uint64
}

// ProfilingDone is the profiler's report of a job: the profiles, and the models that
// it could not measure. A report of another job than the current one is ignored.
type ProfilingDone struct {
	Job         uint64
	Profiles    []protocol.Profile
	Quarantined []Quarantine
}

// Quarantine gives the reason why a model cannot be served. Digest names all
// copies of the model; if it is empty, Model names one copy.
type Quarantine struct{ Model, Digest, Reason string }

// SchedulerSeen is a scheduler's heartbeat. Active: it serves requests. Epoch is the
// epoch of the lease holder, 0 for a standby.
type SchedulerSeen struct {
	Active bool
	Epoch  uint64
}

// ServiceSeen says that a profiler, a scheduler, or a front door or gateway that takes requests
// from clients, is there, or is no more; of other kinds it is ignored.
type ServiceSeen struct {
	Kind  protocol.ServiceKind
	ID    string
	There bool
}

// JoinConfirmed says that the scheduler of an epoch has taken a worker of JoinWorkers.
type JoinConfirmed struct {
	ID                 string
	Incarnation, Epoch uint64
}

// Tick reports only that time has passed.
type Tick struct{}

func (Started) event()        {}
func (WorkerSeen) event()     {}
func (WorkerLost) event()     {}
func (WorkerAnswered) event() {}
func (LoadRequested) event()  {}
func (LoadResult) event()     {}
func (ModelsStored) event()   {}
func (StoreFailed) event()    {}
func (ModelsUnstored) event() {}
func (StageStored) event()    {}
func (StageConflict) event()  {}
func (Fenced) event()         {}
func (ProfilerSeen) event()   {}
func (ProfilingDone) event()  {}
func (SchedulerSeen) event()  {}
func (ServiceSeen) event()    {}
func (JoinConfirmed) event()  {}
func (Tick) event()           {}
