package trace

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// outlet is an exporter that counts and logs its failures, and whose exports are
// cancelled when until ends.
type outlet struct {
	sdk.SpanExporter
	until  context.Context
	losses *losses
}

// ExportSpans implements the SDK's exporter. It returns no error, since the SDK could
// not act on one.
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

// losses are counted on the hot path and logged by the goroutine that exports, which may
// wait for the log.
type losses struct {
	log     *slog.Logger
	unheard atomic.Int64 // requests and attempts that found the queue full
	failed  atomic.Int64 // spans that were not exported

	mu       sync.Mutex
	reported time.Time
	total    int64 // sum of both when last logged
	why      error // error of the last failed export
}

// reportEvery is the minimum interval between log lines about losses.
const reportEvery = 30 * time.Second

// report logs new losses, unless losses were logged less than reportEvery ago.
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

// reportAll logs the losses that are not logged yet.
func (l *losses) reportAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say(time.Now())
}

// say logs the losses if there are new ones. The caller holds the lock.
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
