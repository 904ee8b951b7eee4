package trace

import (
	"context"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	api "go.opentelemetry.io/otel/trace"
)

// Carrier lets a propagator of OpenTelemetry read and write the headers of a NATS
// message: Carrier(message.Header). Headers of NATS keep the case in which they were
// written, so it reads names in any case, where the SDK's carrier for HTTP finds
// Traceparent alone. It writes them as the standard has them, in lower case.
type Carrier map[string][]string

// Get returns the first value of a header. If a name stands there in several ways,
// the one in lower case counts, else the first in the order of bytes.
func (c Carrier) Get(name string) string {
	if values := c[name]; len(values) > 0 {
		return values[0]
	}
	found := ""
	for key, values := range c {
		if len(key) == len(name) && len(values) > 0 && strings.EqualFold(key, name) && (found == "" || key < found) {
			found = key
		}
	}
	if found == "" {
		return ""
	}
	return c[found][0]
}

// Set replaces a header, however it was written.
func (c Carrier) Set(name, value string) {
	maps.DeleteFunc(c, func(key string, _ []string) bool { return strings.EqualFold(key, name) })
	c[name] = []string{value}
}

// Header is where clients say to which span of theirs a request belongs.
const Header = "traceparent"

// IsTraceparent reports whether a text can stand there.
func IsTraceparent(text string) bool {
	ctx := propagation.TraceContext{}.Extract(context.Background(), Carrier{Header: {text}})
	return api.SpanContextFromContext(ctx).IsValid()
}

// Keys returns the names of all headers, sorted.
func (c Carrier) Keys() []string { return slices.Sorted(maps.Keys(c)) }
