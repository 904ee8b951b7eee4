package ask

import (
	"context"
	"time"
)

// WaitFlags say whether a command waits until the stack serves.
type WaitFlags struct {
	Wait        *bool          `negatable:"" env:"-" help:"Wait until the stack is ACTIVE, and show what it does meanwhile; --no-wait does not wait."`
	WaitTimeout *time.Duration `env:"-" placeholder:"D" from:"1ms" to:"24h" help:"How long to wait for that at most; by default 10m."`
}

// waitTimeout is the default of --wait-timeout: many large models take minutes to load
// and to measure.
const waitTimeout = 10 * time.Minute

// Waits returns whether the command waits; usually is the command's own default.
func (f *WaitFlags) Waits(usually bool) bool {
	if f.Wait == nil {
		return usually
	}
	return *f.Wait
}

// AtMost returns the bound of the wait; usually is the command's own default.
func (f *WaitFlags) AtMost(usually time.Duration) time.Duration {
	if f.WaitTimeout == nil {
		return usually
	}
	return *f.WaitTimeout
}

// Bound returns a context for the wait.
func (f *WaitFlags) Bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, f.AtMost(waitTimeout))
}
