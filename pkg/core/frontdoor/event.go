package frontdoor

import (
	"time"

	"clockwork/pkg/protocol"
)

// Event is something that happened; one of the types of this file. As JSON, events are
// what a recording holds: a request of the machine's is named by its Number beside the
// event, a payload is its length, and what is the driver's own is left out.
type Event interface{ event() }

// Inbound is a message of a client, not yet decoded. Slow: decoding takes so long that
// it is done beside other work.
type Inbound struct {
	// Model and Tenant are tokens of the subject, not checked yet; Reply is the inbox that the
	// answer goes to, "" for none.
	Model, Tenant, Reply string
	// Asker is who asks if that is no client, "" otherwise: its requests count as those of
	// clients without a name.
	Asker string `json:",omitempty"`
	// Bytes is the size of the whole message.
	Bytes int
	Slow  bool
	// Direct: the client has a connection to this process and no reply subject, so that nobody
	// else can answer it, and nobody need be told that it is answered. Its Tenant is proven to
	// its driver.
	Direct bool `json:",omitempty"`
}

// asker returns who asks, client or not.
func (e *Inbound) asker() string {
	if e.Asker != "" {
		return e.Asker
	}
	return e.Tenant
}

// Decoded is what was read of an admitted message. A request for a model that is not
// known yet has no Payload and Batch.
type Decoded struct {
	Request *Request `json:"-"`
	// ClientID is the id that the client chose, "" for none. It is not unique.
	ClientID string
	Outputs  []string `json:",omitempty"` // to return, by name; all if there are none
	Encoding protocol.Encoding
	// SLO counts from the arrival; 0 for the default. It is within protocol.MaxSLO.
	SLO      time.Duration
	Priority int
	// Payload is laid out as a worker takes it (Layout), Batch how many items it has.
	// Generated: it is empty, and the worker makes inputs up.
	Payload   protocol.Payload
	Batch     int
	Generated bool
}

// Undecoded says why an admitted message is no request.
type Undecoded struct {
	Request *Request `json:"-"`
	// Fault is told to the client as it is.
	Fault *protocol.Error
}

// ClientGone says that nobody waits any more for the answer to a request of a Direct client.
// It ends all the same, once.
type ClientGone struct{ ID protocol.RequestID }

// Stored says what became of a request of Output.Store; no fault means that it is in
// the startup buffer, whose owner answers it.
type Stored struct {
	Request *Request `json:"-"`
	Fault   *protocol.Error
}

// StageSeen, ModelSeen and ModelDropped tell of the state in the store.
type StageSeen struct{ Stage protocol.Stage }

// ModelSeen brings a model that is served, or is about to be.
type ModelSeen struct{ Spec protocol.ModelSpec }

// ModelDropped takes one away.
type ModelDropped struct{ Name string }

// SchedulerBeat is a scheduler's heartbeat, SchedulerLost says that it fell silent.
type SchedulerBeat struct{ protocol.Heartbeat }

// SchedulerLost is the last heartbeat of a scheduler that fell silent.
type SchedulerLost struct{ protocol.Heartbeat }

// Dispatched is a scheduler's word on a request.
type Dispatched struct{ protocol.Dispatch }

// OutputArrived is the output of a request; who the worker is, the subject says.
type OutputArrived struct {
	// Worker is the sender by its subject, which the broker enforces.
	Worker string
	Output *protocol.Output
}

// Unsent says that an OK of Output.Ended is not sent: its deadline has passed since it was
// decided, or it has more Bytes than the broker carries. Output.Refusal is what the client
// is told instead; what the request had was given back when it ended.
type Unsent struct {
	ID                protocol.RequestID
	Arrived, Deadline protocol.Time
	// Waited is Request.Waited; the client is told.
	Waited       time.Duration
	Bytes, Limit int64
}

// InputSent says that Output.LargeInput is sent, or could not be.
type InputSent struct{}

// Connection says how the connection to the broker stands. The driver looks before each
// event that may have come on it, and reports what differs from Machine.Connection first:
// how long an outage was, and which scheduler was active, follow from earlier events.
type Connection struct {
	// Up: the broker is reached; otherwise nothing that is sent arrives.
	Up bool
	// Breaks is how often the connection was lost and made again since the machine began.
	Breaks uint64
}

// BufferedID identifies a request in the startup buffer: its sequence number, and when
// it was stored, in nanoseconds of the broker's clock. If the buffer is lost, sequence
// numbers begin again.
type BufferedID struct {
	Seq    uint64
	Stored int64
}

// BufferSeen is a request in the startup buffer, seen by its owner in order. Age is
// how long it has been there.
type BufferSeen struct {
	BufferedID
	// Model is not checked yet; Reply is the inbox of the client, who may have gone.
	Model, Reply string
	Encoding     protocol.Encoding
	// Budget is the SLO that begins when the request is handed over; 0 for the default.
	Budget time.Duration
	Age    time.Duration
	// Bytes are those of its message.
	Bytes  int
	Driver any `json:"-"`
}

// Claimed ends a request of Output.Claim. Mine: it was there and is claimed for this
// front door. Unknown: the store did not reply. What was read of the body follows as in
// Decoded, or Fault says why nothing could.
type Claimed struct {
	BufferedID
	Mine, Unknown bool
	Fault         *protocol.Error
	Read          Decoded
	// Bytes is the size of the whole message; it counts against the limits.
	Bytes int
}

// BufferLost says that the startup buffer was lost and made again: what waited in it
// is gone. BufferReleased: another one keeps the buffer now.
type BufferLost struct{}

// BufferReleased says that this front door no longer owns the startup buffer.
type BufferReleased struct{}

// Stop refuses what is left, SHUTTING_DOWN.
type Stop struct{}

// Tick says only that time has passed.
type Tick struct{}

func (*Inbound) event()        {}
func (*Decoded) event()        {}
func (*Undecoded) event()      {}
func (*ClientGone) event()     {}
func (*Stored) event()         {}
func (*StageSeen) event()      {}
func (*ModelSeen) event()      {}
func (*ModelDropped) event()   {}
func (*SchedulerBeat) event()  {}
func (*SchedulerLost) event()  {}
func (*Dispatched) event()     {}
func (*OutputArrived) event()  {}
func (*Unsent) event()         {}
func (*InputSent) event()      {}
func (*Connection) event()     {}
func (*BufferSeen) event()     {}
func (*Claimed) event()        {}
func (*BufferLost) event()     {}
func (*BufferReleased) event() {}
func (*Stop) event()           {}
func (*Tick) event()           {}
