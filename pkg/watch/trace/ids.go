package trace

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	api "go.opentelemetry.io/otel/trace"

	"clockwork/pkg/protocol"
)

// The id of a request's own span is chosen before the span is created, since its child
// spans are created elsewhere and earlier.

// ids generates span ids, or uses the one that `own` has put into the context.
type ids struct{}

type ownKey struct{}

// own returns a context in which the next span is the request's own.
func own(ctx context.Context, t protocol.TraceContext) context.Context {
	return context.WithValue(ctx, ownKey{}, t)
}

// NewIDs implements the SDK's IDGenerator.
func (ids) NewIDs(ctx context.Context) (api.TraceID, api.SpanID) {
	if t, ok := ctx.Value(ownKey{}).(protocol.TraceContext); ok {
		return t.Trace, t.Span
	}
	return newTraceID(), newSpanID()
}

// NewSpanID implements the SDK's IDGenerator for spans with a parent.
func (ids) NewSpanID(ctx context.Context, _ api.TraceID) api.SpanID {
	if t, ok := ctx.Value(ownKey{}).(protocol.TraceContext); ok {
		return t.Span
	}
	return newSpanID()
}

// newTraceID returns random bits throughout: samplers decide by some of them.
func newTraceID() (id api.TraceID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

func newSpanID() (id api.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
