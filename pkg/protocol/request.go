package protocol

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// RequestID names a request in the whole stack: the front door that answers
// it, and a number that the door never uses twice.
type RequestID struct {
	Door, Seq uint64
}

// String prints the id as door:seq.
func (id RequestID) String() string { return fmt.Sprintf("%s:%d", DoorName(id.Door), id.Seq) }

// ParseRequestID reads an id as String prints it; leading zeros may be left out.
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

// DoorName is a front door's identity as a token of a subject.
func DoorName(door uint64) string { return fmt.Sprintf("%016x", door) }

// ParseDoor is the front door of a name.
func ParseDoor(name string) (uint64, error) { return strconv.ParseUint(name, 16, 64) }

// Submission is a request as the scheduler sees it: never its payload.
type Submission struct {
	ID    RequestID
	Model string
	// Batch is how many items the request holds; Bytes the payload's size.
	Batch int
	Bytes int64
	// Budget is what was left of the SLO when the front door sent this.
	// Elapsed is what had passed since the request's arrival.
	Budget    time.Duration
	Elapsed   time.Duration
	Priority  int
	Generated bool
}

// DispatchKind says what the scheduler decided about a request.
type DispatchKind uint8

// The decisions.
const (
	// ToWorker: send the payload to Worker, whose action awaits it.
	ToWorker DispatchKind = iota + 1
	// Refuse: answer the client with Refusal.
	Refuse
	// Answer: answer OK with no output (policy echo).
	Answer
	// Yours and Taken are words on a late answer (see who answers a request): it is
	// the front door's own, or the scheduler has given it.
	Yours
	Taken
)

// Dispatch is a decision of the scheduler about one request.
type Dispatch struct {
	ID   RequestID
	Kind DispatchKind
	// Worker and Cold are set for ToWorker. Cold: the weights had to be loaded
	// for this request.
	Worker string
	Cold   bool
	// Refusal is set for Refuse.
	Refusal *Error
}

// Input is the payload of one request on its way to a worker. Data holds the
// model's inputs in the order of its spec, each in row-major order,
// little-endian, without gaps.
type Input struct {
	ID    RequestID
	Model string
	Batch int
	Data  []byte
}

// Output is the answer of one request on its way to its front door. Data holds
// the model's outputs in the order of its spec.
type Output struct {
	ID    RequestID
	Model string
	// Batch is the size at which the action ran; Items how many of those
	// belong to this request.
	Batch, Items int
	// Input, Exec and Output are the durations of the action's parts; Queued
	// from the action's arrival at the worker to its beginning.
	Queued, Input, Exec, Output time.Duration
	Data                        Payload
}
