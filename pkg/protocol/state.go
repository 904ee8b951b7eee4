package protocol

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Stage is a stage of the startup phase. Stages only move forward.
type Stage uint8

// The stages, in order.
const (
	Querying Stage = iota + 1
	AwaitingModels
	Loading
	Profiling
	Active
)

var stageNames = [...]string{"", "QUERYING", "AWAITING_MODELS", "LOADING", "PROFILING", "ACTIVE"}

// String returns the stage's name.
func (s Stage) String() string {
	if s >= Querying && s <= Active {
		return stageNames[s]
	}
	return fmt.Sprintf("Stage(%d)", uint8(s))
}

// MarshalText writes the stage's name, in JSON and msgpack alike.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stage's name.
func (s *Stage) UnmarshalText(name []byte) error {
	if string(name) == Stage(0).String() { // the unknown stage; a recording may contain it
		*s = 0
		return nil
	}
	stage, ok := ParseStage(string(name))
	if !ok {
		return fmt.Errorf("read stage: no stage is called %q", name)
	}
	*s = stage
	return nil
}

// ParseStage returns the stage of a name.
func ParseStage(name string) (Stage, bool) {
	for s := Querying; s <= Active; s++ {
		if stageNames[s] == name {
			return s, true
		}
	}
	return 0, false
}

// GPUState is one GPU of a worker.
type GPUState struct {
	// ID is the index of the GPU in its worker, UUID the device's own identity.
	ID   int    `json:"id"`
	UUID string `json:"uuid"`
	// Type is part of a profile's key: GPUs of equal types run equally fast.
	Type       string `json:"type"`
	PagesTotal int    `json:"pages_total"`
	PagesUsed  int    `json:"pages_used"`
	// Processor says in words what executions have of the host's processors, "" if they need
	// none.
	Processor string `json:"processor,omitempty"`
	// Models are the names of the models whose weights are on the GPU, sorted.
	Models []string `json:"models"`
	// Moving are the names of the other models that have pages, sorted: their weights are
	// being loaded or evicted, or are lost and still in use.
	Moving []string `json:"moving,omitempty"`
	// Stalled says why the GPU executes nothing, "" if it does; Executor counts the
	// executors that ended. See GPUBeat.
	Stalled  string `json:"stalled,omitempty"`
	Executor uint32 `json:"executors_ended,omitempty"`
}

// WorkerState is the answer to GetWorkerState.
type WorkerState struct {
	ID          string `json:"id"`
	Incarnation uint64 `json:"incarnation"`
	Epoch       uint64 `json:"epoch"`
	Backend     string `json:"backend"`
	// BackendVersion is part of a profile's key.
	BackendVersion string `json:"backend_version"`
	PageSize       int64  `json:"page_size"`
	// GenerateInputs: the worker generates inputs for requests without any.
	GenerateInputs bool       `json:"generate_inputs"`
	GPUs           []GPUState `json:"gpus"`
	// Models are the models in host memory, sorted by name; Profiles are the
	// measurements stored with them.
	Models   []ModelSpec `json:"models"`
	Profiles []Profile   `json:"profiles,omitempty"`
	// Lacks are the models of the stack that the worker could not load as they were
	// loaded first, sorted by name; it serves all others. The controller sets it.
	Lacks []Lack `json:"lacks,omitempty"`
}

// Lack is a model that a worker does not serve, and why.
type Lack struct {
	Model   string `json:"model"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Lacking reports whether the worker does not serve a model of the stack.
func (w *WorkerState) Lacking(model string) bool {
	_, lacks := slices.BinarySearchFunc(w.Lacks, model, func(l Lack, name string) int { return strings.Compare(l.Model, name) })
	return lacks
}

// SpecOf returns a model of the stack as this worker runs it: a worker with another version
// of the backend is measured for itself, and one with pages of another size needs another
// number of them.
func (w *WorkerState) SpecOf(m ModelSpec) ModelSpec {
	if m.Backend == w.Backend {
		m.BackendVersion = w.BackendVersion
	}
	if m.WeightsBytes > 0 && w.PageSize > 0 {
		m.Pages = PagesFor(m.WeightsBytes, w.PageSize)
	}
	return m
}

// Holds returns the worker's model of this name.
func (w WorkerState) Holds(name string) (ModelSpec, bool) {
	for _, m := range w.Models {
		if m.Name == name {
			return m, true
		}
	}
	return ModelSpec{}, false
}

// ClockworkState is the state with which the scheduler is activated: the models of the
// epoch, their profiles, and the workers that hold them.
type ClockworkState struct {
	// Term is the controller's; a scheduler ignores the state of earlier controllers.
	Term uint64 `json:"term,omitempty"`
	// Set is the number of the set of models. A state with a higher number than that which a
	// scheduler serves replaces its models; it is 0 where sets are not numbered.
	Set      uint64        `json:"set,omitempty"`
	PageSize int64         `json:"page_size"`
	Models   []ModelSpec   `json:"models"`
	Profiles []Profile     `json:"profiles"`
	Workers  []WorkerState `json:"workers"`
}

// ServiceKind names a kind of service in subjects and heartbeats.
type ServiceKind string

// The services.
const (
	Controller ServiceKind = "controller"
	Profiler   ServiceKind = "profiler"
	Scheduler  ServiceKind = "scheduler"
	Worker     ServiceKind = "worker"
	FrontDoor  ServiceKind = "frontdoor"
	// Gateway is only in subjects of health checks: in all else a gateway is a front door.
	Gateway ServiceKind = "gateway"
)

// Noun returns what people call such a service.
func (k ServiceKind) Noun() string {
	if k == FrontDoor {
		return "front door"
	}
	return string(k)
}

// Heartbeat says that a service is alive and what it is doing. Service and ID come from
// the subject.
type Heartbeat struct {
	Service     ServiceKind
	ID          string
	Incarnation uint64
	Epoch       uint64
	// State is one of those below, "" in a heartbeat that only answers a question.
	State ServiceState
	// Job is the id of the job that a profiler works on, 0 for none.
	Job uint64
	// ClockEpoch is the scheduler epoch that a worker's clock is synchronised to, 0 for
	// none.
	ClockEpoch uint64
	// InFlight is how many requests or actions the service has accepted and not
	// finished.
	InFlight int
	// Capacity is the active scheduler's.
	Capacity Capacity
	// GPUs are a worker's GPUs, by index; nil while none is stalled and each has its first
	// executor.
	GPUs []GPUBeat
	// Quarantined are the models that the active scheduler refuses for their crashes, at
	// most MaxQuarantined. Unavailable are some of Capacity.Unavailable, at most MaxUnavailable.
	Quarantined []QuarantinedModel
	Unavailable []string
}

// QuarantinedModel is a model whose requests are refused for Left more.
type QuarantinedModel struct {
	Name string
	Left time.Duration
}

// MaxQuarantined and MaxUnavailable bound the models in a heartbeat.
const (
	MaxQuarantined = 64
	MaxUnavailable = 64
)

// GPUBeat is the part of a worker's heartbeat about one GPU.
type GPUBeat struct {
	// Stalled: an execution is overdue by far, or the executor ended and the next one is
	// not ready. The GPU gets no work.
	Stalled bool
	// Restarting: it is stalled since the executor ended, and the next one is expected soon.
	Restarting bool
	// Executor counts the processes that executed for this GPU and ended. A change means
	// that the GPU's weights are gone.
	Executor uint32
}

// ServiceState says what a service does, in its heartbeats and to people.
type ServiceState string

// The states. A heartbeat with any other is no message.
const (
	// Idle: a worker that has no action, or a profiler with the lease and no job. Busy: one
	// that has.
	Idle ServiceState = "idle"
	Busy ServiceState = "busy"
	// Stopping: the service finishes its work, accepts no more and ends.
	Stopping ServiceState = "stopping"
	// Standby: the service waits for a lease that another instance holds.
	Standby ServiceState = "standby"
	// SchedulerReady: the scheduler holds the lease and waits for its activation.
	// SchedulerActive: it accepts requests.
	SchedulerReady  ServiceState = "ready"
	SchedulerActive ServiceState = "active"
	// FrontDoorOpen: the front door takes requests from clients. FrontDoorClosed: it takes
	// none, or none yet, and finishes those that it has. FrontDoorGateway: it takes them over
	// HTTP or gRPC alone, and none on the broker.
	FrontDoorOpen    ServiceState = "open"
	FrontDoorClosed  ServiceState = "closed"
	FrontDoorGateway ServiceState = "gateway"
	// ProfilerActive and ServiceAbsent are never in a heartbeat: a profiler sends Standby, Idle
	// or Busy, and a service that is absent sends none.
	ProfilerActive ServiceState = "active"
	ServiceAbsent  ServiceState = "absent"
)

// InHeartbeats reports whether a heartbeat may have the state.
func (s ServiceState) InHeartbeats() bool {
	switch s {
	case "", Idle, Busy, Stopping, Standby, SchedulerReady, SchedulerActive, FrontDoorOpen, FrontDoorClosed, FrontDoorGateway:
		return true
	}
	return false
}

// HeartbeatEvery is the interval between a service's heartbeats; a service without a
// heartbeat for HeartbeatLost is considered dead.
const (
	HeartbeatEvery = 100 * time.Millisecond
	HeartbeatLost  = 500 * time.Millisecond
)
