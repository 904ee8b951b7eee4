package trace

import (
	"context"
	"log/slog"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// nowhere is a collector that takes everything at once.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                        { return nil }

func benchmarked(b *testing.B, c Config) (*watch.Hub, *Tracer) {
	hub := &watch.Hub{}
	tracer, err := attach(c, hub, slog.New(slog.DiscardHandler), nowhere{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = tracer.Close() })
	b.ReportAllocs()
	return hub, tracer
}

// BenchmarkArrival is what a request costs where it arrives: nobody records (off), the
// sampler leaves it alone, or takes it; alone, and with a client's context.
func BenchmarkArrival(b *testing.B) {
	client := map[string][]string{"Traceparent": {parent}}
	for _, c := range []struct {
		name   string
		share  float64
		header map[string][]string
	}{{"left", 0, nil}, {"taken", 1, nil}, {"taken-of-client", 0, client}} {
		b.Run(c.name, func(b *testing.B) {
			hub, _ := benchmarked(b, Config{Sampler: sdk.ParentBased(sdk.TraceIDRatioBased(c.share)), Propagate: true})
			for b.Loop() {
				hub.Trace(c.header)
			}
		})
	}
	b.Run("off", func(b *testing.B) {
		var hub *watch.Hub
		b.ReportAllocs()
		for b.Loop() {
			hub.Trace(client)
		}
	})
}

// BenchmarkTold is what is done where the work is done, for a request that is recorded:
// its answer, and its submission and action. The spans are made elsewhere.
func BenchmarkTold(b *testing.B) {
	at := clock.Now()
	id := protocol.RequestID{Door: 1, Seq: 2}
	a := watch.Action{Kind: protocol.Infer, Model: "m", Requests: []protocol.RequestRef{{ID: id}}, Sent: at, Ended: at,
		Result: &protocol.Result{Code: protocol.OK, Exec: protocol.Phase{Begin: at, End: at}}}
	b.Run("answer", func(b *testing.B) {
		hub, _ := benchmarked(b, always())
		r := watch.Request{Trace: hub.Trace(nil), Model: "m", Arrived: time.Now(), Ended: time.Now()}
		for b.Loop() {
			hub.Request(r)
		}
	})
	b.Run("action", func(b *testing.B) {
		hub, tracer := benchmarked(b, always())
		s := watch.Submission{ID: id, Trace: hub.Trace(nil).TraceContext, At: at, Deadline: at}
		for b.Loop() {
			tracer.submitted(&s)
			tracer.acted(&a)
		}
	})
	b.Run("action-of-others", func(b *testing.B) {
		_, tracer := benchmarked(b, always())
		for b.Loop() {
			tracer.acted(&a)
		}
	})
}

// BenchmarkSpans is what the goroutine of this package does for a request that is
// recorded: seven spans.
func BenchmarkSpans(b *testing.B) {
	hub, tracer := benchmarked(b, always())
	at := clock.Now()
	phase := protocol.Phase{Begin: at, End: at}
	a := &action{watch.Action{Kind: protocol.Infer, Model: "m", Sent: at, Ended: at,
		Result: &protocol.Result{Code: protocol.OK, Received: at, Begin: at, End: at, Input: phase, Exec: phase, Output: phase}}, 1}
	trace := hub.Trace(nil)
	m := &member{submission: submission{Submission: watch.Submission{Trace: trace.TraceContext, At: at}, since: at, attempt: 1}}
	r := &watch.Request{Trace: trace, ID: protocol.RequestID{Door: 1, Seq: 2}, Model: "m", Arrived: time.Now(), Decided: time.Now(), Ended: time.Now()}
	for b.Loop() {
		tracer.writeAttempt(m, a)
		tracer.writeRequest(r)
	}
}
