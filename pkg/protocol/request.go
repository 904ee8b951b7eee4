package protocol

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// RequestID identifies a request in the whole stack: the front door that answers it, and
// a number that the front door uses only once.
type RequestID struct {
	Door, Seq uint64
}

// String formats the id as door:seq.
func (id RequestID) String() string { return fmt.Sprintf("%s:%d", DoorName(id.Door), id.Seq) }

// ParseRequestID parses the format of String; leading zeros may be left out.
func ParseRequestID(text string) (RequestID, error) {
	door, number, _ := strings.Cut(text, ":")
	d, err := ParseDoor(door)
	if err != nil {
		return RequestID{}, fmt.Errorf("%q is not a request: DOOR:NUMBER, the door in hexadecimal", text)
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return RequestID{}, fmt.Errorf("%q is not a request: DOOR:NUMBER, the door in hexadecimal", text)
	}
	return RequestID{Door: d, Seq: n}, nil
}

// DoorName returns a front door's identity as a token of a subject.
func DoorName(door uint64) string { return fmt.Sprintf("%016x", door) }

// ParseDoor returns the front door's identity for a name.
func ParseDoor(name string) (uint64, error) { return strconv.ParseUint(name, 16, 64) }

// Submission is a request as the scheduler sees it: never its payload.
type Submission struct {
	ID    RequestID
	Model string
	// Batch is how many items the request holds; Bytes the payload's size.
	Batch int
	Bytes int64
	// Budget is the rest of the SLO when the front door sent this. Elapsed is the time
	// from the request's arrival until then.
	Budget    time.Duration
	Elapsed   time.Duration
	Priority  int
	Generated bool
	// Crashes counts the workers and executors that ended or hung while they executed
	// the request, as far as schedulers have said so (Dispatch.Crashes). A front door
	// that submits it to another scheduler passes the number on, so that a takeover does
	// not give the request another life.
	Crashes uint8
}

// DispatchKind is the scheduler's decision about a request.
type DispatchKind uint8

// The decisions.
const (
	// ToWorker: send the payload to Worker, whose action awaits it.
	ToWorker DispatchKind = iota + 1
	// Refuse: answer the client with Refusal.
	Refuse
	// Answer: answer OK with no output (policy echo).
	Answer
	// Yours and Taken decide a late answer (see "Who answers a request"): the front door
	// owns the answer, or the scheduler has sent it.
	Yours
	Taken
)

// Dispatch is a decision of the scheduler about one request.
type Dispatch struct {
	ID   RequestID
	Kind DispatchKind
	// Epoch is the scheduler's. A front door obeys no earlier one than that to which it
	// submitted the request last.
	Epoch uint64
	// Worker and Cold are set for ToWorker. Cold: the weights had to be loaded for this
	// request.
	Worker string
	Cold   bool
	// Crashes is set for ToWorker: Submission.Crashes as the scheduler counts now.
	Crashes uint8
	// Refusal is set for Refuse.
	Refusal *Error
}

// Input is the payload of one request on its way to a worker. Data holds the model's
// inputs in the order of its spec, each in row-major order, little-endian, without gaps.
type Input struct {
	ID    RequestID
	Model string
	Batch int
	Data  []byte
}

// Output is the answer of one request on its way to its front door. Data holds the
// model's outputs in the order of its spec.
type Output struct {
	ID    RequestID
	Model string
	// Batch is the size at which the action ran; Items is how many of its items belong
	// to this request.
	Batch, Items int
	// Input, Exec and Output are the durations of the action's parts; Queued is from the
	// action's arrival at the worker to its begin.
	Queued, Input, Exec, Output time.Duration
	Data                        Payload
}
