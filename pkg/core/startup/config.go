package startup

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// Config is the policy of the startup phase.
type Config struct {
	// Issuer is this controller's random identity; it must not be 0.
	Issuer uint64
	// LoadIdle is how long no load may come before loading closes.
	LoadIdle time.Duration
	// QueryTimeout is how long an answer to GetWorkerState is awaited before
	// the stage goes on without the worker, which is then asked again.
	QueryTimeout time.Duration
	// LoadTimeout bounds a load from its arrival, and a catch-up load from its
	// dispatch.
	LoadTimeout time.Duration
	// Resend is how long the profiler or the scheduler may be seen without
	// work before it is given again, and the pause before a failed write of
	// the stage or of adopted models is repeated, before a removal that a
	// worker refused is, and before an action without a result is sent again.
	// The last one doubles each time, up to an eighth of LoadTimeout.
	Resend time.Duration
	// RefreshTimeout bounds the query before an activation; a worker that is
	// slower joins when it answers.
	RefreshTimeout time.Duration
	// ProfileRetry is the pause before a new job when no model can be served.
	ProfileRetry time.Duration
	// PerWorker is how many loads are outstanding at a worker.
	PerWorker int
	// MaxCopies bounds the copies of one load, MaxLoads the loads that are not
	// answered yet (OVERLOADED beyond), MaxModels the models of the stack
	// (MODEL_TOO_LARGE beyond).
	MaxCopies, MaxLoads, MaxModels int
	// MaxWorkers bounds the workers; the heartbeats of more are ignored.
	MaxWorkers int
	// MaxBatch and MaxExec go into every LoadSpec; 0 is no bound.
	MaxBatch int
	MaxExec  time.Duration
}

// DefaultConfig returns the defaults; the caller adds Issuer.
func DefaultConfig() Config {
	return Config{
		LoadIdle:       10 * time.Second,
		QueryTimeout:   2 * time.Second,
		LoadTimeout:    60 * time.Second,
		Resend:         time.Second,
		RefreshTimeout: 250 * time.Millisecond,
		ProfileRetry:   10 * time.Second,
		PerWorker:      4,
		MaxCopies:      protocol.MaxCopies,
		MaxLoads:       1024,
		MaxModels:      65536,
		MaxWorkers:     4096,
	}
}

// Validate names the first field that cannot be worked with.
func (c Config) Validate() error {
	if c.Issuer == 0 {
		return fmt.Errorf("the issuer is 0")
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"LoadIdle", int64(c.LoadIdle)}, {"QueryTimeout", int64(c.QueryTimeout)}, {"LoadTimeout", int64(c.LoadTimeout)},
		{"Resend", int64(c.Resend)}, {"RefreshTimeout", int64(c.RefreshTimeout)}, {"ProfileRetry", int64(c.ProfileRetry)},
		{"PerWorker", int64(c.PerWorker)}, {"MaxCopies", int64(c.MaxCopies)}, {"MaxLoads", int64(c.MaxLoads)},
		{"MaxModels", int64(c.MaxModels)}, {"MaxWorkers", int64(c.MaxWorkers)},
	} {
		if f.value <= 0 {
			return fmt.Errorf("%s is %d, must be positive", f.name, f.value)
		}
	}
	if c.MaxBatch < 0 || c.MaxExec < 0 {
		return fmt.Errorf("MaxBatch and MaxExec must not be negative")
	}
	return nil
}
