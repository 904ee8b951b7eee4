//go:build linux && !static

package onnx

import (
	"context"
	"time"

	"clockwork/pkg/adapter/backend"
)

// deadline is how long the checker and the trial of a load may take, both together. One that takes
// longer hangs in the model: it is ended, and the model is corrupt. The load's own end comes
// later, so that who waits for the load is told.
type deadline struct {
	takes time.Duration
	until time.Time
}

// provesHang is the least time after which a model counts as one that hangs. A load that has
// less, since it waited elsewhere, is ended by its context.
const provesHang = 30 * time.Second

// deadlineOf returns the deadline of a load that begins now: nine tenths of what the load may
// take, if that proves anything.
func (o *Options) deadlineOf(options backend.LoadOptions) deadline {
	takes := o.CheckTime
	if most := options.Within / 10 * 9; most >= provesHang {
		takes = most
	}
	return deadline{takes, time.Now().Add(takes)}
}

// context returns a context that ends with the deadline, or with ctx.
func (d deadline) context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, d.until)
}
