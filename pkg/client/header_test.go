package client

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
)

func TestARequestCarriesTheHeadersOfItsContext(t *testing.T) {
	nc := bustest.Client(t, bustest.Server(t))
	c, err := New(nc, "")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan *nats.Msg, 2)
	if _, err := nc.ChanSubscribe("clockwork.infer.m", asked); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	header := nats.Header{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}
	go c.Infer(WithHeader(ctx, header), "m", &protocol.InferRequest{}, time.Minute)
	m := bustest.Next(t, "the request", asked)
	if len(m.Header) != 1 || m.Header["traceparent"][0] != header["traceparent"][0] || m.Reply == "" {
		t.Errorf("it came with %v and %q", m.Header, m.Reply)
	}
	go c.Infer(ctx, "m", &protocol.InferRequest{}, time.Minute)
	if m := bustest.Next(t, "the second request", asked); m.Header != nil {
		t.Errorf("it came with %v", m.Header)
	}
	cancel()
}
