package trace

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// outlet is an exporter whose failures are counted and told here, and that gives up
// when until ends.
type outlet struct {
	sdk.SpanExporter
	until  context.Context
	losses *losses
}

// ExportSpans implements the SDK's exporter. It does not fail: nobody else could do
// anything about it.
func (o *outlet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.until, cancel)()
	err := o.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		o.losses.failed.Add(int64(len(spans)))
	}
	o.losses.report(err, time.Now())
	return nil
}

// losses are counted where they happen, and told where a log may be waited for: with
// the exports.
type losses struct {
	log     *slog.Logger
	unheard atomic.Int64 // requests and attempts that found no room
	failed  atomic.Int64 // spans that were not exported

	mu       sync.Mutex
	reported time.Time
	total    int64 // of both, when they were told
	why      error // of the last export that failed
}

// tellEvery bounds how often losses are told.
const reportEvery = 30 * time.Second

// tell tells of losses that are new, unless some were told just before.
func (l *losses) report(why error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if why != nil {
		l.why = why
	}
	if now.Sub(l.reported) >= reportEvery {
		l.say(now)
	}
}

// tellAll tells of what is not told yet.
func (l *losses) reportAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say(time.Now())
}

// say tells, if there is something new. The caller holds the lock.
func (l *losses) say(now time.Time) {
	unheard, failed := l.unheard.Load(), l.failed.Load()
	if unheard+failed == l.total {
		return
	}
	args := []any{"spans_not_exported", failed, "requests_without_room", unheard}
	if l.why != nil {
		args = append(args, "error", l.why)
	}
	l.log.Warn("traces lost", args...)
	l.reported, l.total, l.why = now, unheard+failed, nil
}
