package trace

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// A front door's reports: a request has arrived, and a request was answered.

// arrived decides whether a request is recorded. For a trace that its client has not
// recorded the sampler decides; the default sampler does not record it.
func (t *Tracer) arrived(header map[string][]string) watch.Trace {
	ctx, parent := context.Background(), api.SpanContext{}
	if t.config.Propagate && mayHold(header) {
		ctx = propagation.TraceContext{}.Extract(ctx, Carrier(header))
		parent = api.SpanContextFromContext(ctx)
	}
	id := parent.TraceID()
	if !parent.IsValid() {
		id = newTraceID()
	}
	if t.config.Sampler.ShouldSample(sdk.SamplingParameters{
		ParentContext: ctx, TraceID: id, Name: "infer", Kind: api.SpanKindServer,
	}).Decision != sdk.RecordAndSample {
		return watch.Trace{}
	}
	return watch.Trace{
		TraceContext: protocol.TraceContext{Trace: id, Span: newSpanID()},
		Parent:       parent.SpanID(), State: parent.TraceState().String(),
	}
}

// mayHold reports whether a traceparent header exists in any case, without allocating.
func mayHold(header map[string][]string) bool {
	for key := range header {
		if len(key) == len(Header) && strings.EqualFold(key, Header) {
			return true
		}
	}
	return false
}

// answered queues the spans of a front door.
func (t *Tracer) answered(r *watch.Request) {
	if !r.Trace.Recorded() {
		return
	}
	kept := *r
	t.later(func() { t.writeRequest(&kept) })
}

func (t *Tracer) writeRequest(r *watch.Request) {
	name := "infer"
	if r.Model != "" {
		name += " " + r.Model
	}
	begun, ended := r.Arrived.Add(-r.Buffered), r.Arrived.Add(r.Latency())
	ctx, span := t.spans.Start(own(below(r.Trace.Trace, r.Trace.Parent, r.Trace.State), r.Trace.TraceContext), name,
		api.WithSpanKind(api.SpanKindServer), api.WithTimestamp(begun), api.WithAttributes(ofRequest(r)...))
	ctx = context.WithValue(ctx, ownKey{}, nil) // the spans below it get ids of their own
	if r.Buffered > 0 {
		t.write(ctx, part{name: "buffered", begin: begun, end: r.Arrived})
	}
	if !r.Dispatched.IsZero() {
		span.AddEvent("dispatched", api.WithTimestamp(r.Dispatched), api.WithAttributes(attribute.String("clockwork.worker", r.Worker)))
	}
	if !r.Decided.IsZero() {
		t.write(ctx, part{name: "reply", begin: r.Decided, end: ended})
	}
	finish(span, ended, r.Code, r.Why)
}
