package protocol

// Code is the outcome of a request, a load or an action. The set is closed: every code
// has a row in the table below.
type Code string

// The codes. The last group belongs to workers' answers to actions; the table says which
// audience sees each code.
const (
	OK Code = "OK"

	DeadlineExceeded   Code = "DEADLINE_EXCEEDED"
	DeadlineUnmeetable Code = "DEADLINE_UNMEETABLE"
	BufferTimeout      Code = "BUFFER_TIMEOUT"
	BufferFull         Code = "BUFFER_FULL"
	Overloaded         Code = "OVERLOADED"
	LimitExceeded      Code = "LIMIT_EXCEEDED"
	UnknownModel       Code = "UNKNOWN_MODEL"
	InvalidInput       Code = "INVALID_INPUT"
	InvalidDeadline    Code = "INVALID_DEADLINE"
	BatchTooLarge      Code = "BATCH_TOO_LARGE"
	PayloadTooLarge    Code = "PAYLOAD_TOO_LARGE"
	BadMessage         Code = "BAD_MESSAGE"
	LoadingClosed      Code = "LOADING_CLOSED"
	InvalidModelPath   Code = "INVALID_MODEL_PATH"
	ModelNotFound      Code = "MODEL_NOT_FOUND"
	ModelCorrupt       Code = "MODEL_CORRUPT"
	UnsupportedModel   Code = "UNSUPPORTED_MODEL"
	ModelChanged       Code = "MODEL_CHANGED"
	ModelUnavailable   Code = "MODEL_UNAVAILABLE"
	ModelTooLarge      Code = "MODEL_TOO_LARGE"
	PartialLoad        Code = "PARTIAL_LOAD"
	LoadTimeout        Code = "LOAD_TIMEOUT"
	NoMemory           Code = "NO_MEMORY"
	WorkerLost         Code = "WORKER_LOST"
	ExecutionCrashed   Code = "EXECUTION_CRASHED"
	BatchFailed        Code = "BATCH_FAILED"
	ModelQuarantined   Code = "MODEL_QUARANTINED"
	ModelRetired       Code = "MODEL_RETIRED"
	NotActive          Code = "NOT_ACTIVE"
	SchedulerLost      Code = "SCHEDULER_LOST"
	FrontDoorLost      Code = "FRONT_DOOR_LOST"
	StateUnavailable   Code = "STATE_UNAVAILABLE"
	Unauthenticated    Code = "UNAUTHENTICATED"
	PermissionDenied   Code = "PERMISSION_DENIED"
	ShuttingDown       Code = "SHUTTING_DOWN"
	Internal           Code = "INTERNAL"

	TooEarly         Code = "TOO_EARLY"
	TooLate          Code = "TOO_LATE"
	StaleEpoch       Code = "STALE_EPOCH"
	StaleTerm        Code = "STALE_TERM"
	StaleIncarnation Code = "STALE_INCARNATION"
	InvalidGPU       Code = "INVALID_GPU"
	InvalidAction    Code = "INVALID_ACTION"
	InvalidBatch     Code = "INVALID_BATCH"
	InputMissing     Code = "INPUT_MISSING"
	WeightsMissing   Code = "WEIGHTS_MISSING"
	WeightsChanged   Code = "WEIGHTS_CHANGED"
	WeightsInUse     Code = "WEIGHTS_IN_USE"
	AlreadyLoaded    Code = "ALREADY_LOADED"
	BackendError     Code = "BACKEND_ERROR"
	ExecutorLost     Code = "EXECUTOR_LOST"
	ExecutorKilled   Code = "EXECUTOR_KILLED"
	Cancelled        Code = "CANCELLED"
)

// Audience says who may see a code.
type Audience uint8

// The audiences; a code may have both.
const (
	ForClients Audience = 1 << iota
	ForWorkers
)

// CodeRow is one row of the table of codes.
type CodeRow struct {
	Code Code
	// Number is the value of Nats-Service-Error-Code: HTTP's status codes, which are
	// well known.
	Number int
	// GRPC is the name of the status code over gRPC. UNAVAILABLE is never that of a refusal:
	// clients send those again at once.
	GRPC string
	// Retryable: sending the same message again may succeed without any change by the
	// sender.
	Retryable bool
	Audience  Audience
	// Sentence says to people what happened.
	Sentence string
}

// Codes is the table of all codes, in the order of the documentation.
var Codes = []CodeRow{
	{OK, 200, "OK", false, ForClients | ForWorkers, "It was done, in time."},
	{DeadlineExceeded, 504, "DEADLINE_EXCEEDED", true, ForClients, "The deadline passed before there was an answer."},
	{DeadlineUnmeetable, 503, "DEADLINE_EXCEEDED", true, ForClients, "Refused at once: the deadline cannot be met."},
	{BufferTimeout, 503, "DEADLINE_EXCEEDED", true, ForClients, "The request waited in the startup buffer until its time was over; no scheduler became active."},
	{BufferFull, 429, "RESOURCE_EXHAUSTED", true, ForClients, "The startup buffer is full."},
	{Overloaded, 503, "RESOURCE_EXHAUSTED", true, ForClients, "Too many requests are in flight."},
	{LimitExceeded, 429, "RESOURCE_EXHAUSTED", true, ForClients, "The client, or all clients of the model together, have reached a limit that was set for them."},
	{UnknownModel, 404, "NOT_FOUND", false, ForClients | ForWorkers, "No model of this name is loaded."},
	{InvalidInput, 400, "INVALID_ARGUMENT", false, ForClients | ForWorkers, "The input is not what the model takes."},
	{InvalidDeadline, 400, "INVALID_ARGUMENT", false, ForClients, "The SLO is not a positive, finite number of milliseconds within the limit."},
	{BatchTooLarge, 413, "INVALID_ARGUMENT", false, ForClients, "The request holds more items than the model's largest batch."},
	{PayloadTooLarge, 413, "RESOURCE_EXHAUSTED", false, ForClients, "The message is larger than the broker carries, or than its sender may send."},
	{BadMessage, 400, "INVALID_ARGUMENT", false, ForClients, "The message cannot be decoded."},
	{LoadingClosed, 400, "FAILED_PRECONDITION", false, ForClients, "Loading has ended: the set of models is fixed when profiling begins."},
	{InvalidModelPath, 400, "INVALID_ARGUMENT", false, ForClients | ForWorkers, "The path does not name a model inside the model directory."},
	{ModelNotFound, 404, "NOT_FOUND", false, ForClients | ForWorkers, "There is no model at this path."},
	{ModelCorrupt, 400, "FAILED_PRECONDITION", false, ForClients | ForWorkers, "The file is not a model that can be run."},
	{ModelChanged, 409, "FAILED_PRECONDITION", false, ForClients | ForWorkers, "The files at the path are not those that were loaded."},
	{ModelUnavailable, 503, "FAILED_PRECONDITION", true, ForClients, "No worker that is there could load the model."},
	{UnsupportedModel, 400, "FAILED_PRECONDITION", false, ForClients | ForWorkers, "The file is a model, but not one that Clockwork can serve."},
	{ModelTooLarge, 413, "RESOURCE_EXHAUSTED", false, ForClients | ForWorkers, "The model does not fit: file, weights or copies exceed a limit."},
	{PartialLoad, 500, "ABORTED", true, ForClients, "The load failed on some workers and was rolled back on the others."},
	{LoadTimeout, 504, "DEADLINE_EXCEEDED", true, ForClients, "The workers did not finish the load in time."},
	{NoMemory, 503, "RESOURCE_EXHAUSTED", true, ForClients | ForWorkers, "There is no memory left for it."},
	{WorkerLost, 503, "ABORTED", true, ForClients, "The worker that ran it was lost, and no time was left to run it again."},
	{ExecutionCrashed, 500, "INTERNAL", false, ForClients, "It was executing each time that its worker, or the process that executes, ended or hung; it is not run again."},
	{BatchFailed, 503, "ABORTED", true, ForClients, "The batch that it was in failed, and no time was left to run it alone."},
	{ModelQuarantined, 503, "FAILED_PRECONDITION", true, ForClients, "The model is not run for a while: workers, or the processes that execute, ended or hung on it again and again."},
	{NotActive, 503, "FAILED_PRECONDITION", true, ForClients, "The stack is not active yet: models are loaded or measured."},
	{ModelRetired, 404, "NOT_FOUND", false, ForClients, "The model has left the set of models that is served."},
	{SchedulerLost, 503, "FAILED_PRECONDITION", true, ForClients, "No scheduler is active."},
	{FrontDoorLost, 503, "ABORTED", true, ForClients, "The front door that had taken it was lost; whether it ran is not known."},
	{StateUnavailable, 503, "UNAVAILABLE", true, ForClients, "The state store cannot be reached."},
	{Unauthenticated, 401, "UNAUTHENTICATED", false, ForClients, "The gateway asks for a token, and none that it knows was sent."},
	{PermissionDenied, 403, "PERMISSION_DENIED", false, ForClients, "The broker does not let this key do that."},
	{ShuttingDown, 503, "UNAVAILABLE", true, ForClients | ForWorkers, "The service is stopping."},
	{Internal, 500, "INTERNAL", false, ForClients, "A fault of Clockwork itself."},

	{TooEarly, 503, "ABORTED", true, ForWorkers, "The action begins further ahead than a worker holds actions."},
	{TooLate, 504, "DEADLINE_EXCEEDED", false, ForWorkers, "The action's latest start passed before it could begin."},
	{StaleEpoch, 503, "ABORTED", false, ForWorkers, "The worker obeys a newer epoch."},
	{StaleTerm, 503, "ABORTED", false, ForWorkers, "The worker obeys a later controller or profiler."},
	{StaleIncarnation, 503, "ABORTED", false, ForWorkers, "The action was meant for an earlier start of this worker."},
	{InvalidGPU, 400, "INVALID_ARGUMENT", false, ForWorkers, "The worker has no such GPU."},
	{InvalidAction, 400, "INVALID_ARGUMENT", false, ForWorkers, "The action contradicts itself."},
	{InvalidBatch, 400, "INVALID_ARGUMENT", false, ForWorkers, "The model does not run at this batch size."},
	{InputMissing, 503, "ABORTED", false, ForWorkers, "An input had not arrived when the action had to begin."},
	{WeightsMissing, 503, "ABORTED", false, ForWorkers, "The model's weights are not on this GPU."},
	{WeightsChanged, 503, "ABORTED", false, ForWorkers, "The model's weights changed while it ran; its output is void."},
	{WeightsInUse, 503, "ABORTED", true, ForWorkers, "The weights are being copied or used at this moment."},
	{AlreadyLoaded, 400, "FAILED_PRECONDITION", false, ForWorkers, "The weights are on this GPU already."},
	{BackendError, 500, "INTERNAL", false, ForClients | ForWorkers, "The backend failed while executing."},
	{ExecutorLost, 503, "ABORTED", true, ForClients | ForWorkers, "The process that executed it ended before the execution did."},
	{ExecutorKilled, 503, "ABORTED", true, ForClients | ForWorkers, "The process that executed it was killed from outside: for want of memory, or by another process."},
	{Cancelled, 503, "CANCELLED", true, ForClients | ForWorkers, "It was cancelled before it began."},
}

var codeRows = func() map[Code]CodeRow {
	rows := make(map[Code]CodeRow, len(Codes))
	for _, row := range Codes {
		rows[row.Code] = row
	}
	return rows
}()

// Row returns the code's row; a code outside the table counts as INTERNAL.
func (c Code) Row() CodeRow {
	if row, ok := codeRows[c]; ok {
		return row
	}
	return codeRows[Internal]
}

// Known reports whether c is in the table.
func (c Code) Known() bool {
	_, ok := codeRows[c]
	return ok
}

// LosesWorker reports whether a worker's answer to an action says that the incarnation which
// the action was meant for is gone, or about to be: nothing more is sent to it.
func (c Code) LosesWorker() bool { return c == StaleIncarnation || c == ShuttingDown }

// LosesExecutor reports whether a worker answered an action with the end of the process that
// executes for its GPU.
func (c Code) LosesExecutor() bool { return c == ExecutorLost || c == ExecutorKilled }

// LosesWeights reports whether a worker's refusal says that the process which held the
// weights of its GPU has ended, or had.
func (c Code) LosesWeights() bool { return c.LosesExecutor() || c == WeightsMissing }
