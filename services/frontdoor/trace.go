package frontdoor

import (
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/watch"
)

// What a door adds to what it tells where a request's trace is recorded.

// subjectOf is where a client sent a request, "" if nobody records its trace.
func (d *FrontDoor) subjectOf(r *request) string {
	if !r.trace.Recorded() {
		return ""
	}
	return d.bus.Subjects.InferBy(r.model.Name, r.tenant)
}

// traceparent is what a request leaves in the startup buffer of the trace that its
// client has begun. Whoever answers it decides anew whether that is recorded.
func (a *asked) traceparent() string {
	if a.trace.Parent == [8]byte{} {
		return ""
	}
	return a.trace.Traceparent()
}

// traceOf is the trace of a request that was in the startup buffer.
func (d *FrontDoor) traceOf(b *bus.Buffered) watch.Trace {
	if b.Traceparent == "" {
		return d.config.Telemetry.Trace(nil)
	}
	return d.config.Telemetry.Trace(map[string][]string{bus.TraceHeader: {b.Traceparent}})
}
