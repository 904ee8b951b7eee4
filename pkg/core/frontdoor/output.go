package frontdoor

import "clockwork/pkg/protocol"

// Output is what a Step wants done. It may be used until the next Step. Its JSON shows
// all of it but what is the driver's own.
type Output struct {
	// Admitted is the Inbound message as a request, to be decoded; nil if it was
	// refused, then Refusal says why, or ignored, then Ignored says why. Refusal is as well
	// what the client is told in place of an OK that is Unsent.
	Admitted *Request
	Refusal  *protocol.Error
	Ignored  Ignored
	// Rejected is a request that was admitted and goes no further; Refusal says why.
	Rejected *Request
	// Store is a request for the startup buffer.
	Store *Request
	// Submit are requests for the active scheduler, Ask questions whose an answer is.
	Submit []*Request
	Ask    []Question
	// Withdraw are requests that were submitted to the active scheduler, and that nobody
	// waits for any more.
	Withdraw []*Request
	// Inputs are payloads for workers, which may share messages; LargeInput is one to be
	// sent alone, or nil. InputSent ends it.
	Inputs     []Input
	LargeInput *Input
	// Ended are requests that are answered now.
	Ended []Ended
	// Claim are requests of the startup buffer to be claimed and read.
	Claim []Claim
	// Foreign are ignored outputs of workers, for the log.
	Foreign []Foreign
	// Wake is when a Tick is due at the latest; Never for none.
	Wake protocol.Time
}

// Ignored is why a message gets no answer at all.
type Ignored uint8

// The reasons.
const (
	NotIgnored     Ignored = iota
	NoReply                // nobody waits for an answer
	NoClientsInbox         // the reply subject is not a client's
	OthersInbox            // the answer would go to another client's inbox
)

// Question asks the scheduler of an epoch whose the answer of a request is.
type Question struct {
	// Epoch is the one that was active when a connection broke.
	Epoch   uint64
	Request *Request
}

// Input is a request's payload for a worker.
type Input struct {
	// Worker is the one that the request was given to last.
	Worker  string
	Request *Request
}

// Foreign is an output of a worker that was not given the request.
type Foreign struct {
	Worker  string
	Request *Request
}

// Ended is a request with its one answer: OK with the Output, which is nil where the
// scheduler answered without a worker, or Refusal.
type Ended struct {
	Request *Request
	Output  *protocol.Output
	Refusal *protocol.Error
	// At is when that was decided, after SentAt when it is sent: latency counts from arrival
	// to then.
	At protocol.Time
	// Claim: the scheduler is told first that the request is answered.
	Claim bool
}

// Claim is a request of the startup buffer to be claimed and read.
type Claim struct {
	BufferedID
	// Model, Encoding and Driver are those of BufferSeen.
	Model    string
	Encoding protocol.Encoding
	Driver   any `json:"-"`
	// Spec is the model's, Known whether there is such a one.
	Spec  protocol.ModelSpec
	Known bool
}

func (o *Output) begin() {
	*o = Output{Submit: o.Submit[:0], Ask: o.Ask[:0], Withdraw: o.Withdraw[:0], Inputs: o.Inputs[:0], Ended: o.Ended[:0], Claim: o.Claim[:0], Foreign: o.Foreign[:0], Wake: protocol.Never}
}
