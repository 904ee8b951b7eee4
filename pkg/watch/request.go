package watch

import (
	"time"

	"clockwork/pkg/protocol"
)

// Request is a client's request, from its arrival at a front door to the front door's
// answer.
type Request struct {
	// ID is zero, as are most other fields, if the message was refused before it became
	// a request.
	ID protocol.RequestID
	// Client is the id that the client gave the request. Tenant is the client's name, ""
	// on an open broker.
	Client, Tenant string
	// Model is a model that the stack serves, or "".
	Model string
	// Trace is zero unless the trace is recorded. Subject, on which the client
	// published, is set together with Trace.
	Trace   Trace
	Subject string

	// Arrived is when the SLO began to count; Dispatched when the scheduler had decided
	// (zero if it never did, or the answer came first); Decided when the front door knew
	// the answer; Ended when the answer was sent.
	Arrived, Dispatched, Decided, Ended time.Time
	SLO                                 time.Duration
	// Buffered is how long the request waited for activation, before Arrived.
	Buffered time.Duration

	Code protocol.Code
	// Why is the refusal's message, "" with OK.
	Why string

	// Items is the request's number of items, Batch the batch size at which it ran, 0 if
	// it did not run.
	Items, Batch int
	// Bytes is the size of the inputs; Generated says that the worker generates the
	// inputs.
	Bytes     int64
	Generated bool
	Worker    string
	// Cold: the model's weights had to be loaded first.
	Cold bool
	// Parts of the time at the worker: the queue, and the input copy, execution and
	// output copy.
	Queue, Input, Exec, Output time.Duration
}

// Latency returns how long the client waited, without the wait for activation and the
// network.
func (r *Request) Latency() time.Duration { return r.Ended.Sub(r.Arrived) }
