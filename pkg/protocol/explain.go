package protocol

import "time"

// Question is the body of clockwork.explain.<service>: a query about requests. The
// scheduler accepts request ids, front doors also clients' own ids. Without ids the
// query is about recent misses.
type Question struct {
	IDs []string `json:"ids,omitempty"`
}

// MaxQuestionIDs bounds the ids of a question. For a client's id, a front door returns
// at most the latest MaxAlike requests.
const (
	MaxQuestionIDs = 32
	MaxAlike       = 8
)

// DoorRecord is a front door's answer: what it knows of the requests, the latest first.
type DoorRecord struct {
	Door     string        `json:"door"`
	Requests []DoorRequest `json:"requests"`
	// LeftOut are the ids of the question that did not fit into this answer: ask again.
	LeftOut []string `json:"left_out,omitempty"`
}

// MaxAnswer bounds what an answer says of requests, in bytes of JSON; what is said of the
// first id always fits.
const MaxAnswer = MinMessage - 8<<10

// DoorRequest is a request as its front door saw it. Latency is from arrival to answer;
// its parts are the time from arrival to the dispatch, the worker's parts, and the rest,
// which is network delay and the front door's own work.
type DoorRequest struct {
	ID       string    `json:"id"`
	ClientID string    `json:"client_id,omitempty"`
	Model    string    `json:"model,omitempty"`
	Code     Code      `json:"code"` // "" if there is no answer yet
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
