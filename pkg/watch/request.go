package watch

import (
	"time"

	"clockwork/pkg/protocol"
)

// Request is a request of a client from its arrival at a front door to the answer
// that this gave.
type Request struct {
	// ID is zero, and so is much else, of a message that was refused before it became
	// a request.
	ID protocol.RequestID
	// Client is the id that the client gave it. Tenant is whose it was, "" of an open
	// broker's.
	Client, Tenant string
	// Model is one that the stack serves, or "".
	Model string
	// Trace is zero unless it is recorded. Subject, which is where the client sent it,
	// is set with it.
	Trace   Trace
	Subject string

	// Arrived is when its SLO began, Dispatched when the scheduler had decided (zero:
	// it never did, or the answer came first), Decided when the door knew what the
	// answer is, Ended when that left.
	Arrived, Dispatched, Decided, Ended time.Time
	SLO                                 time.Duration
	// Buffered is how long it waited for activation, before it arrived.
	Buffered time.Duration

	Code protocol.Code
	// Why is the refusal's message, "" with OK.
	Why string

	// Items are those of the request, Batch the size at which it ran, 0 if it did not.
	Items, Batch int
	// Bytes are its inputs'; Generated says that it had none.
	Bytes     int64
	Generated bool
	Worker    string
	// Cold: its model's weights had to be loaded first.
	Cold bool
	// Parts of the worker's time: for its turn, and for input copy, execution and
	// output copy.
	Queue, Input, Exec, Output time.Duration
}

// Latency is what the client waited, but for activation and for the network.
func (r *Request) Latency() time.Duration { return r.Ended.Sub(r.Arrived) }
