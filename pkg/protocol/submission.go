package protocol

// SubmissionBatch is one front door's messages to the scheduler of an epoch.
type SubmissionBatch struct {
	Door, Epoch uint64
	// Answered are the numbers of requests whose reply follows directly after this
	// message: from here on no other party may answer them.
	Answered []uint64
	Requests []Submitted
	// Withdrawn are the numbers of requests that nobody waits for any more, submitted in
	// earlier messages. The scheduler refuses those CANCELLED that wait for a worker.
	Withdrawn []uint64
}

// Submitted is a request and its client's reply subject.
type Submitted struct {
	Submission
	// Reply is the client's reply subject, "" if only the front door may answer; JSON is
	// the reply's encoding, otherwise it is msgpack.
	Reply string
	JSON  bool
	// Trace is zero unless the request's trace is recorded. The core does not see it.
	Trace TraceContext
}

// MaxReply bounds the length of Reply, in bytes.
const MaxReply = 256
