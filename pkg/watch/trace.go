package watch

import (
	"encoding/hex"

	"clockwork/pkg/protocol"
)

// Trace is the trace of a request at a front door, zero if it is not recorded;
// TraceContext travels with a recorded request.
type Trace struct {
	protocol.TraceContext
	// Parent is the client's span, zero if the trace begins here; State is the
	// tracestate that the client wants propagated.
	Parent [8]byte
	State  string
}

// Traceparent returns the client's span in the format of the traceparent header.
func (t *Trace) Traceparent() string {
	return "00-" + t.String() + "-" + hex.EncodeToString(t.Parent[:]) + "-01"
}

// Submission is a request submitted to the scheduler whose trace is recorded.
type Submission struct {
	ID    protocol.RequestID
	Trace protocol.TraceContext
	Model string
	// At is when the request arrived, Deadline when its answer is due.
	At, Deadline protocol.Time
}

// tracing holds the listeners of a tracer.
type tracing struct {
	arrival     func(header map[string][]string) Trace
	submissions []func(*Submission)
	refusals    []func(protocol.Time, *protocol.Dispatch)
}

// OnArrival registers f, which decides from the headers of an arriving request whether
// its trace is recorded. There is one such listener.
func (h *Hub) OnArrival(f func(header map[string][]string) Trace) { h.arrival = f }

// OnSubmission registers f, which is called for each request submitted to this process'
// scheduler whose trace is recorded.
func (h *Hub) OnSubmission(f func(*Submission)) { h.submissions = append(h.submissions, f) }

// OnRefusal registers f, which is called for each request that this process' scheduler
// refused.
func (h *Hub) OnRefusal(f func(now protocol.Time, d *protocol.Dispatch)) {
	h.refusals = append(h.refusals, f)
}

// Trace returns the trace of a request that arrives with these headers.
func (h *Hub) Trace(header map[string][]string) Trace {
	if h == nil || h.arrival == nil {
		return Trace{}
	}
	return h.arrival(header)
}

// Submission reports a request whose trace is recorded.
func (h *Hub) Submission(s *Submission) {
	if h == nil {
		return
	}
	for _, hear := range h.submissions {
		hear(s)
	}
}
