package startup

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// Config holds the limits and timeouts of the startup phase.
type Config struct {
	// Issuer is this controller's random identity; it must not be 0.
	Issuer uint64
	// LoadIdle is how long loading stays open after the last load.
	LoadIdle time.Duration
	// QueryTimeout bounds the wait for an answer to GetWorkerState. After that the
	// stage continues without the worker, and the query is sent again.
	QueryTimeout time.Duration
	// LoadTimeout bounds a load, counted from its arrival, and a catch-up load,
	// counted from its dispatch.
	LoadTimeout time.Duration
	// Resend is how long the profiler or the scheduler may be seen without work
	// before the work is sent again. It is also the pause before the machine repeats
	// a failed write of the stage or of adopted models, a removal that a worker
	// refused, and an action without a result. The pause for actions doubles each
	// time, up to LoadTimeout/8.
	Resend time.Duration
	// RefreshTimeout bounds the query before an activation. A slower worker joins
	// when its answer arrives.
	RefreshTimeout time.Duration
	// ProfileRetry is the pause before a new job when no model can be served.
	ProfileRetry time.Duration
	// PerWorker bounds the outstanding loads of one worker.
	PerWorker int
	// MaxCopies bounds the copies of one load, MaxLoads the unanswered loads (beyond
	// it: OVERLOADED), MaxModels the models of the stack (beyond it:
	// MODEL_TOO_LARGE).
	MaxCopies, MaxLoads, MaxModels int
	// MaxWorkers bounds the workers; heartbeats of further workers are ignored.
	MaxWorkers int
	// MaxBatch and MaxExec are copied into every LoadSpec; 0 means no bound.
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
		PerWorker:      4,
		MaxCopies:      protocol.MaxCopies,
		MaxLoads:       1024,
		MaxModels:      65536,
		MaxWorkers:     4096,
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
