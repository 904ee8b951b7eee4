package protocol

// SubmissionBatch is what one front door tells the scheduler of an epoch at
// once.
type SubmissionBatch struct {
	Door, Epoch uint64
	// Answered are the numbers of requests whose reply follows right behind this
	// message: from here on nobody else may answer them.
	Answered []uint64
	Requests []Submitted
}

// Submitted is a request and where its client waits.
type Submitted struct {
	Submission
	// Reply is the client's reply subject, "" if nobody but the door may answer;
	// JSON is its encoding, else it is msgpack.
	Reply string
	JSON  bool
	// Trace is zero unless the request's trace is recorded. The core does not see it.
	Trace TraceContext
}

// MaxReply bounds a reply subject that the scheduler is told.
const MaxReply = 256
