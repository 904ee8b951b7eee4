package watch

import (
	"encoding/hex"

	"clockwork/pkg/protocol"
)

// Trace is the trace of a request at a front door, if somebody records it; then
// TraceContext goes along with the request.
type Trace struct {
	protocol.TraceContext
	// Parent is the client's span, zero where the trace begins here, and State what
	// the client's tracing system wants told on.
	Parent [8]byte
	State  string
}

// Traceparent is the client's span as clients write it.
func (t *Trace) Traceparent() string {
	return "00-" + t.String() + "-" + hex.EncodeToString(t.Parent[:]) + "-01"
}

// Submission is a request that a scheduler was given, and whose trace is recorded.
type Submission struct {
	ID    protocol.RequestID
	Trace protocol.TraceContext
	Model string
	// At is when it came, Deadline when it has to be answered.
	At, Deadline protocol.Time
}

// tracing is who records traces.
type tracing struct {
	arrival     func(header map[string][]string) Trace
	submissions []func(*Submission)
	refusals    []func(protocol.Time, *protocol.Dispatch)
}

// OnArrival has f decide whether the trace of a request is recorded that has just
// arrived with such headers. One listener decides.
func (h *Hub) OnArrival(f func(header map[string][]string) Trace) { h.arrival = f }

// OnSubmission has f hear of every request that the scheduler of this process was
// given, and whose trace is recorded.
func (h *Hub) OnSubmission(f func(*Submission)) { h.submissions = append(h.submissions, f) }

// OnRefusal has f hear of every request that the scheduler of this process refused.
func (h *Hub) OnRefusal(f func(now protocol.Time, d *protocol.Dispatch)) {
	h.refusals = append(h.refusals, f)
}

// Trace is that of a request which arrives with such headers.
func (h *Hub) Trace(header map[string][]string) Trace {
	if h == nil || h.arrival == nil {
		return Trace{}
	}
	return h.arrival(header)
}

// Submission tells of a request whose trace is recorded.
func (h *Hub) Submission(s *Submission) {
	if h == nil {
		return
	}
	for _, hear := range h.submissions {
		hear(s)
	}
}
