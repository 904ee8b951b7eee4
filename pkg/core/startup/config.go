package startup

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// Config holds the limits and timeouts of the startup phase. Durations are positive.
type Config struct {
	// Issuer is this controller's random identity; it must not be 0. It is in every
	// action, and results for another issuer are ignored.
	Issuer uint64
	// Term is that of this controller's lease, 0 for a controller without one. It is in
	// every action and in Activate: whoever has seen a higher one ignores them.
	Term uint64
	// LoadIdle is how long loading stays open after the last load; default 10 s.
	LoadIdle time.Duration
	// QueryTimeout bounds the wait for an answer to GetWorkerState; default 2 s. After
	// that the stage continues without the worker, and the query is sent again.
	QueryTimeout time.Duration
	// LoadTimeout bounds a load, counted from its arrival, and a catch-up load,
	// counted from its dispatch; default 60 s. The clients of a late load are answered
	// LOAD_TIMEOUT; a worker with a late catch-up is taken out of service.
	LoadTimeout time.Duration
	// Resend is how long the profiler or the scheduler may be seen without work, or a
	// worker's join unconfirmed, before that is sent again. It is also the pause before
	// the machine repeats a failed write of the stage or of adopted models, a removal
	// that a worker refused, and an action without a result. The pause for actions
	// doubles each time, up to LoadTimeout/8. Default 1 s.
	Resend time.Duration
	// RefreshTimeout bounds the query before an activation; default 250 ms. A slower
	// worker joins when its answer arrives.
	RefreshTimeout time.Duration
	// ProfileRetry is the pause before a new job when no model can be served; default
	// 10 s.
	ProfileRetry time.Duration
	// LackRetry is the pause before a worker that could not load an accepted model is asked
	// for it again, default 5 s. It doubles each time that brings nothing, up to
	// MaxLackRetry, default 1 min.
	LackRetry, MaxLackRetry time.Duration
	// BlockedAfter is how long something that a stage cannot go on without may be missing
	// before that is told; default 5 s.
	BlockedAfter time.Duration
	// PerWorker bounds the outstanding loads and removals of one worker; default 4.
	// Further tasks are queued.
	PerWorker int
	// MaxCopies bounds the copies of one load (beyond it: INVALID_INPUT), default
	// protocol.MaxCopies. MaxLoads bounds the unanswered loads (beyond it:
	// OVERLOADED), default 1024. MaxModels bounds the models of the stack (beyond it:
	// MODEL_TOO_LARGE), default 65536.
	MaxCopies, MaxLoads, MaxModels int
	// MaxDescription bounds what one model's description takes in the store and in a
	// message, default 128 KiB; MaxDescriptions what all do, default 128 MiB, half of what
	// the store keeps. Both in bytes; beyond them: MODEL_TOO_LARGE.
	MaxDescription, MaxDescriptions int64
	// MaxNames bounds the names in one action, in bytes; default 512 KiB. What names more
	// models is sent as several actions.
	MaxNames int
	// MaxWorkers bounds the workers, default 4096; heartbeats of further workers are
	// ignored.
	MaxWorkers int
	// MaxBatch (in items) and MaxExec are copied into every LoadSpec: workers leave out
	// batch sizes that are larger or take longer. Default 0: no bound.
	MaxBatch int
	MaxExec  time.Duration
}

// DefaultConfig returns the defaults; the caller must set Issuer.
func DefaultConfig() Config {
	return Config{
		LoadIdle:       10 * time.Second,
		QueryTimeout:   2 * time.Second,
		LoadTimeout:    60 * time.Second,
		Resend:         time.Second,
		RefreshTimeout: 250 * time.Millisecond,
		ProfileRetry:   10 * time.Second,
		LackRetry:      5 * time.Second,
		MaxLackRetry:   time.Minute,
		BlockedAfter:   5 * time.Second,
		PerWorker:      4,
		MaxCopies:      protocol.MaxCopies,
		MaxLoads:       1024,
		MaxModels:      65536,
		MaxNames:       512 << 10,

		MaxDescription: 128 << 10, MaxDescriptions: 128 << 20,
		MaxWorkers: 4096,
	}
}

// Validate returns an error that names the first invalid field.
func (c Config) Validate() error {
	if c.Issuer == 0 {
		return fmt.Errorf("the issuer is 0")
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"load idle", int64(c.LoadIdle)}, {"query timeout", int64(c.QueryTimeout)}, {"load timeout", int64(c.LoadTimeout)},
		{"resend", int64(c.Resend)}, {"refresh timeout", int64(c.RefreshTimeout)}, {"profile retry", int64(c.ProfileRetry)},
		{"lack retry", int64(c.LackRetry)}, {"max lack retry", int64(c.MaxLackRetry)}, {"blocked after", int64(c.BlockedAfter)}, {"per worker", int64(c.PerWorker)}, {"max copies", int64(c.MaxCopies)}, {"max loads", int64(c.MaxLoads)},
		{"max models", int64(c.MaxModels)}, {"max workers", int64(c.MaxWorkers)}, {"max names", int64(c.MaxNames)},
		{"max description", c.MaxDescription}, {"max descriptions", c.MaxDescriptions},
	} {
		if f.value <= 0 {
			return fmt.Errorf("%s is %d; it must be positive", f.name, f.value)
		}
	}
	if c.MaxBatch < 0 || c.MaxExec < 0 {
		return fmt.Errorf("max batch is %d and max exec %v; neither may be negative", c.MaxBatch, c.MaxExec)
	}
	return nil
}
