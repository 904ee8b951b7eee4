package protocol

import "time"

// Question is the body of clockwork.explain.<service>: which requests are meant. To
// the scheduler, ids are those of requests, to front doors clients' own as well.
// Without any it asks what was missed lately.
type Question struct {
	IDs []string `json:"ids,omitempty"`
}

// MaxAsked bounds the ids of a question; of one client's id, front doors tell the
// MaxAlike latest.
const (
	MaxQuestionIDs = 32
	MaxAlike       = 8
)

// DoorRecord is a front door's answer: what it knows of requests, the latest first.
type DoorRecord struct {
	Door     string        `json:"door"`
	Requests []DoorRequest `json:"requests"`
}

// DoorRequest is a request as its front door saw it. Latency is from arrival to
// answer; its parts are the way through the scheduler to the dispatch, the worker's
// own, and what is left, which is messages and the door itself.
type DoorRequest struct {
	ID       string    `json:"id"`
	ClientID string    `json:"client_id,omitempty"`
	Model    string    `json:"model,omitempty"`
	Code     Code      `json:"code"` // "" of one that has no answer yet
	Why      string    `json:"why,omitempty"`
	Arrived  time.Time `json:"arrived"`

	SLOMS      float64 `json:"slo_ms"`
	LatencyMS  float64 `json:"latency_ms"`
	BufferedMS float64 `json:"buffered_ms,omitempty"` // before it arrived
	// The parts, in order.
	SchedulerMS float64 `json:"scheduler_ms"`
	QueueMS     float64 `json:"queue_ms"`
	InputMS     float64 `json:"input_ms"`
	ExecMS      float64 `json:"exec_ms"`
	OutputMS    float64 `json:"output_ms"`
	ReplyMS     float64 `json:"reply_ms"`

	Items  int    `json:"items"`
	Batch  int    `json:"batch,omitempty"` // at which it ran
	Worker string `json:"worker,omitempty"`
	Cold   bool   `json:"cold,omitempty"`
}
