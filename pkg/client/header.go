package client

import (
	"context"

	"github.com/nats-io/nats.go"
)

type headerKey struct{}

// WithHeader returns a context whose requests carry the caller's headers, such as the
// traceparent of the trace that they belong to:
//
//	header := nats.Header{}
//	otel.GetTextMapPropagator().Inject(ctx, trace.Carrier(header)) // pkg/watch/trace
//	answer, refused := c.Infer(client.WithHeader(ctx, header), model, request, wait)
func WithHeader(ctx context.Context, header nats.Header) context.Context {
	return context.WithValue(ctx, headerKey{}, header)
}

// publish sends a request with the headers of its context, if there are any.
func (c *Client) publish(ctx context.Context, subject, reply string, body []byte) error {
	header, _ := ctx.Value(headerKey{}).(nats.Header)
	if len(header) == 0 {
		return c.nc.PublishRequest(subject, reply, body)
	}
	return c.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Header: header, Data: body})
}
