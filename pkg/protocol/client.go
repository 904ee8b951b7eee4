package protocol

import "time"

// InferRequest is a client's inference request, as in the Open Inference Protocol.
// Without inputs, the worker is to generate them.
type InferRequest struct {
	ID         string
	Parameters InferParameters
	Inputs     []Tensor
	// Outputs are the names of the outputs to return; empty means all.
	Outputs []string
}

// InferParameters are the request parameters that Clockwork reads; others are ignored.
type InferParameters struct {
	// SLOMS is the latency target in milliseconds from arrival at the front door; nil
	// means the front door's default.
	SLOMS    *float64 `json:"slo_ms,omitempty"`
	Priority int      `json:"priority,omitempty"`
}

// SetTimeout takes over a time-out as Triton has it, in microseconds, if it is shorter than
// the latency target; 0 is none.
func (p *InferParameters) SetTimeout(us float64) {
	if ms := us / 1000; ms != 0 && (p.SLOMS == nil || ms < *p.SLOMS) {
		p.SLOMS = &ms
	}
}

// InferResponse is the answer to an InferRequest that was served.
type InferResponse struct {
	ModelName string
	// ModelVersion is the version of the files that were loaded, "" of models without.
	ModelVersion string
	ID           string
	Parameters   ResponseParameters
	Outputs      []Tensor
}

// ResponseParameters say where the time of a request went. Times are in microseconds
// unless the name says otherwise.
type ResponseParameters struct {
	// LatencyUS is from arrival at the front door to the reply.
	LatencyUS int64 `json:"latency_us"`
	// BatchSize is the size at which the action ran.
	BatchSize int    `json:"batch_size"`
	Worker    string `json:"worker,omitempty"`
	// ColdStart: the weights had to be loaded onto a GPU for this request.
	ColdStart bool `json:"cold_start"`
	// BufferedMS is how long the request waited in the startup buffer.
	BufferedMS float64 `json:"buffered_ms"`
	// SchedulerUS is from submission to dispatch, QueueUS from the action's arrival at
	// the worker to its begin; then the action's own parts.
	SchedulerUS int64 `json:"scheduler_us"`
	QueueUS     int64 `json:"queue_us"`
	InputUS     int64 `json:"input_us"`
	ExecUS      int64 `json:"exec_us"`
	OutputUS    int64 `json:"output_us"`
}

// TimeoutHeader carries an SLO as a Go duration, relative to arrival ("75ms"); it takes
// precedence over slo_ms.
const TimeoutHeader = "Clockwork-Timeout"

// MaxSLO is the longest SLO that a request may have.
const MaxSLO = time.Hour

// The headers of an error reply, as NATS services write them.
const (
	ErrorHeader     = "Nats-Service-Error"
	ErrorCodeHeader = "Nats-Service-Error-Code"
)

// LoadRequest is the body of clockwork.load.
type LoadRequest struct {
	Path string `json:"path"`
	// Name is the model's name; by default the path's last element.
	Name string `json:"name,omitempty"`
	// Copies defaults to 1; values below 1 are refused.
	Copies *int `json:"copies,omitempty"`
}

// MaxCopies bounds the copies of one load.
const MaxCopies = 4096

// LoadReply answers a LoadRequest that succeeded.
type LoadReply struct {
	// Models are the names of the copies, Copies their number. Names that do not fit into
	// a message are left out but for the first: they are counted up from it.
	Models     []string     `json:"models"`
	Copies     int          `json:"copies"`
	Inputs     []TensorSpec `json:"input"`
	Outputs    []TensorSpec `json:"output"`
	BatchSizes []int        `json:"batch_sizes"`
	Pages      int          `json:"pages"`
	// Version is the version that was loaded, 0 for models without versions.
	Version int `json:"version,omitempty"`
	// Held: the workers held these models already; nothing was loaded. Changed are the
	// workers at which something else is at the path now; the models stay what they were.
	// MoreChanged counts those that a reply leaves out of Changed.
	Held        bool          `json:"held,omitempty"`
	Changed     []WorkerError `json:"changed,omitempty"`
	MoreChanged int           `json:"more_changed,omitempty"`
	// Notes are ModelSpec's: what of its configuration changes nothing, and why.
	Notes []string `json:"notes,omitempty"`
	// NoBatch is ModelSpec's: its tensors have no batch dimension.
	NoBatch bool `json:"no_batch,omitempty"`
	// Warnings say what will not work although the model was loaded.
	Warnings []string `json:"warnings,omitempty"`
}

// ModelState is a model as clockwork.ls and clockwork.state show it.
type ModelState struct {
	ModelSpec
	// Profile holds the measurements, one entry per GPU type.
	Profile []Profile `json:"profile"`
	// Quarantined says why the model is not served; empty if it is served.
	Quarantined string `json:"quarantined,omitempty"`
	// Lacking are the workers that do not serve it, and why; all others do.
	// MoreLacking counts those that are left out of Lacking.
	Lacking     []WorkerError `json:"lacking,omitempty"`
	MoreLacking int           `json:"more_lacking,omitempty"`
}

// StackState is the answer to clockwork.state.
type StackState struct {
	Stage Stage `json:"stage"`
	// Since is when the stage began.
	Since time.Time `json:"since"`
	// Epoch is the active scheduler's, 0 if none is active. Scheduler summarises the
	// schedulers' states: SchedulerActive; Standby if some send heartbeats and none is
	// active; ServiceAbsent. A stack in stage ACTIVE without an active scheduler
	// serves nothing.
	Epoch     uint64       `json:"epoch"`
	Scheduler ServiceState `json:"scheduler"`
	// Profiler says the same of the profilers: ProfilerActive, Standby or ServiceAbsent.
	Profiler ServiceState `json:"profiler"`
	// FrontDoor is FrontDoorOpen if a front door takes requests on the broker, otherwise
	// FrontDoorGateway if a gateway takes some, otherwise ServiceAbsent.
	FrontDoor ServiceState `json:"front_door"`
	// Blocked is what the stack cannot go on or serve without, and what to do about it; "" if nothing
	// is missing.
	Blocked string `json:"blocked,omitempty"`
	// GPUsServing is how many GPUs take the active scheduler's work: one that can hold no
	// served model takes none, nor does one that hangs. A stack in stage ACTIVE without any
	// serves nothing. ModelsServed are the active scheduler's models, ModelsUnavailable
	// those of them that no GPU can hold, ModelsRefused further ones that are quarantined for
	// their crashes.
	GPUsServing       int `json:"gpus_serving"`
	ModelsServed      int `json:"models_served"`
	ModelsUnavailable int `json:"models_unavailable,omitempty"`
	ModelsRefused     int `json:"models_refused,omitempty"`
	// StoreFault says why the stack's state cannot be kept, "" if it can: then loaded
	// models are served, and nothing else works.
	StoreFault string `json:"store_fault,omitempty"`
	PageSize   int64  `json:"page_size"`
	// CountdownMS is the time left until loading ends, nil without a countdown.
	CountdownMS *float64 `json:"countdown_ms,omitempty"`
	// Buffered is how many requests wait for activation.
	Buffered int `json:"buffered"`
	// WorkerCount and ModelCount count all workers and models, on every page;
	// QuarantinedCount the models that are not served.
	WorkerCount      int `json:"worker_count"`
	ModelCount       int `json:"model_count"`
	QuarantinedCount int `json:"quarantined_count,omitempty"`

	Workers []WorkerState `json:"workers"`
	Models  []ModelState  `json:"models"`
	// GPUsStalled counts the GPUs that hang, on the first page.
	GPUsStalled int `json:"gpus_stalled,omitempty"`
	// Next is PageRequest.After of the next page, "" on the last one.
	Next string `json:"next,omitempty"`
}

// Append adds the workers and models of the next page. A worker may be on several pages,
// with some of its GPUs, of the models on one, and of what it lacks on each.
func (s *StackState) Append(page *StackState) {
	for i := range page.Workers {
		s.AppendWorker(page.Workers[i])
	}
	s.Models, s.Next = append(s.Models, page.Models...), page.Next
}

// AppendWorker adds a worker, or the rest of the last one.
func (s *StackState) AppendWorker(w WorkerState) {
	if n := len(s.Workers); n == 0 || s.Workers[n-1].ID != w.ID {
		s.Workers = append(s.Workers, w)
		return
	}
	last := &s.Workers[len(s.Workers)-1]
	last.Lacks = append(last.Lacks, w.Lacks...)
	for _, g := range w.GPUs {
		if n := len(last.GPUs); n > 0 && last.GPUs[n-1].ID == g.ID {
			last.GPUs[n-1].Models = append(last.GPUs[n-1].Models, g.Models...)
		} else {
			last.GPUs = append(last.GPUs, g)
		}
	}
}

// PageRequest is the body of clockwork.ls and clockwork.state. What does not fit into one
// message comes in pages.
type PageRequest struct {
	// After is Next of the page before, "" for the first page.
	After string `json:"after,omitempty"`
	// Limit bounds the models of the page, 0 for as many as fit.
	Limit int `json:"limit,omitempty"`
	// Brief leaves out workers and models, for state only: their counts stay. NoModels
	// leaves out the models alone.
	Brief    bool `json:"brief,omitempty"`
	NoModels bool `json:"no_models,omitempty"`
	// Name asks ls for the model of this name alone.
	Name string `json:"name,omitempty"`
}

// ModelList is the answer to clockwork.ls: one page of the models, by name.
type ModelList struct {
	Models []ModelState `json:"models"`
	// Total counts all models. Next is PageRequest.After of the next page, "" on the last.
	Total int    `json:"total"`
	Next  string `json:"next,omitempty"`
}

// The kinds of events.
const (
	EventStage        = "stage"
	EventCountdown    = "countdown"
	EventLoad         = "load"
	EventProfile      = "profile"
	EventQuarantine   = "quarantine"
	EventModelMissing = "model_missing"
	EventModelBack    = "model_back"
	EventWorkerJoined = "worker_joined"
	EventWorkerWaits  = "worker_waits"
	EventWorkerLost   = "worker_lost"
	EventBlocked      = "blocked"
	EventMiss         = "miss"
)

// Event is the body of clockwork.events.<kind>: JSON, for people and tools. Only the
// fields of its kind are set.
type Event struct {
	Kind string    `json:"kind"`
	At   time.Time `json:"at"`

	Stage  string `json:"stage,omitempty"`
	Worker string `json:"worker,omitempty"`
	Model  string `json:"model,omitempty"`
	Path   string `json:"path,omitempty"`
	// Done of Total are progress, for a progress bar.
	Done  int `json:"done,omitempty"`
	Total int `json:"total,omitempty"`
	// LeftMS is what is left of a countdown.
	LeftMS  float64 `json:"left_ms,omitempty"`
	Code    Code    `json:"code,omitempty"`
	Message string  `json:"message,omitempty"`
}
