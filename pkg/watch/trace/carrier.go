package trace

import (
	"context"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	api "go.opentelemetry.io/otel/trace"
)

// Carrier lets an OpenTelemetry propagator read and write the headers of a NATS message:
// Carrier(message.Header). NATS headers keep the case in which they were written, so
// Carrier reads names in any case, where the SDK's carrier for HTTP finds only
// Traceparent. It writes names in lower case, as the standard has them.
type Carrier map[string][]string

// Get returns the first value of a header. If the name occurs in several cases, lower
// case wins, else the first in byte order.
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

// Set replaces a header, in whatever case it was written.
func (c Carrier) Set(name, value string) {
	maps.DeleteFunc(c, func(key string, _ []string) bool { return strings.EqualFold(key, name) })
	c[name] = []string{value}
}

// Header is the header in which clients name the span that a request belongs to.
const Header = "traceparent"

// IsTraceparent reports whether text is a valid value of that header.
func IsTraceparent(text string) bool {
	ctx := propagation.TraceContext{}.Extract(context.Background(), Carrier{Header: {text}})
	return api.SpanContextFromContext(ctx).IsValid()
}

// Keys returns the names of all headers, sorted.
func (c Carrier) Keys() []string { return slices.Sorted(maps.Keys(c)) }
