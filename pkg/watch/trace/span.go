package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	api "go.opentelemetry.io/otel/trace"

	"clockwork/pkg/protocol"
)

// part is a span that has ended.
type part struct {
	name       string
	begin, end time.Time
	code       protocol.Code // "" counts as OK
	why        string
	attributes []attribute.KeyValue
}

// write creates a span, and returns a context for its children.
func (t *Tracer) write(ctx context.Context, p part) context.Context {
	ctx, span := t.spans.Start(ctx, p.name, api.WithTimestamp(p.begin), api.WithAttributes(p.attributes...))
	finish(span, p.end, p.code, p.why)
	return ctx
}

// finish ends a span with the code of the step that it represents.
func finish(span api.Span, at time.Time, code protocol.Code, why string) {
	if code != "" && code != protocol.OK {
		span.SetAttributes(attribute.String("error.type", string(code)))
		span.SetStatus(codes.Error, string(code)+": "+why)
	}
	span.End(api.WithTimestamp(at))
}

// below returns a context in which spans are children of a remote span; without a remote
// span, the trace begins there.
func below(trace api.TraceID, span api.SpanID, state string) context.Context {
	parsed, _ := api.ParseTraceState(state)
	return api.ContextWithRemoteSpanContext(context.Background(), api.NewSpanContext(api.SpanContextConfig{
		TraceID: trace, SpanID: span, TraceFlags: api.FlagsSampled, TraceState: parsed, Remote: true,
	}))
}
