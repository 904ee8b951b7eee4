package ask

import (
	"context"
	"time"

	"clockwork/cmd/clockwork/cli"
)

// WaitFlags say whether a command waits until the stack serves.
type WaitFlags struct {
	Wait        *bool          `negatable:"" env:"-" help:"Wait until the stack is ACTIVE, and show what it does meanwhile; --no-wait does not wait."`
	WaitTimeout *time.Duration `env:"-" placeholder:"D" help:"How long to wait for that at most; by default 10m."`
}

// waitTimeout is the default of --wait-timeout: many large models take minutes to load
// and to measure.
const waitTimeout = 10 * time.Minute

// Check refuses flags that are invalid for any stack.
func (f *WaitFlags) Check() error {
	if f.WaitTimeout != nil && *f.WaitTimeout <= 0 {
		return cli.Usagef("--wait-timeout is %v; it must be positive", *f.WaitTimeout)
	}
	return nil
}

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
