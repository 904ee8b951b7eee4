package sim

import (
	"fmt"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Config is everything around a workload.
type Config struct {
	// Policy and Core configure the scheduler.
	Policy string
	Core   sched.Config
	// Workers have GPUs each, with Pages of PageSize bytes.
	Workers, GPUs, Pages int
	PageSize             int64
	// MaxBatch bounds the batch sizes of the models, 0: as measured. Padded
	// leaves only the measured sizes, so that others are padded.
	MaxBatch int
	Padded   bool
	// Resident: the weights of the models are on every GPU at the beginning, as
	// far as there is room.
	Resident bool
	Network  Network
	Noise    Noise
	Seed     uint64
	Faults   Faults
	// Startup has the stack go through its startup first; without one it begins
	// activated, with profiles that are true.
	Startup Startup
	// Thorough checks the invariants that cost time as well, at every event.
	Thorough bool
	// DefaultSLO is for requests that name none.
	DefaultSLO time.Duration
	// Window is the length of the series' steps; default 1 s.
	Window time.Duration
	// Timeline keeps what each GPU did up to then; 0 keeps nothing.
	Timeline time.Duration
	// Record, if there is one, is given each step of the core before it is
	// carried out. Event and output are valid until it returns.
	Record func(now protocol.Time, e sched.Event, out sched.Output)
}

// Network says how long a message takes: Base, and up to exponentially
// distributed Jitter on top of it; payloads take their time at Bandwidth bytes
// a second as well (0: none).
type Network struct {
	Base, Jitter time.Duration
	Bandwidth    float64
}

// LAN is a bus within one rack.
func LAN() Network {
	return Network{Base: 100 * time.Microsecond, Jitter: 50 * time.Microsecond, Bandwidth: 1.25e9}
}

// Noise says how predictable the GPUs are: Spread is the relative standard
// deviation of each duration.
type Noise struct{ Spread float64 }

// V100 is as predictable as the paper's GPUs: 99 % of executions within 0.3 %
// of the median.
func V100() Noise { return Noise{Spread: 0.001} }

// Defaults is one worker with one GPU as in the paper.
func Defaults(policy string) Config {
	return Config{
		Policy: policy, Core: sched.Defaults(), Workers: 1, GPUs: 1, Pages: 1376, PageSize: 16 << 20,
		Network: LAN(), Noise: V100(), Seed: 1, DefaultSLO: 100 * time.Millisecond, Window: time.Second,
	}
}

// Validate reports the first field that makes no sense.
func (c Config) Validate() error {
	switch {
	case c.Workers < 1 || c.GPUs < 1 || c.Pages < 1 || c.PageSize < 1:
		return fmt.Errorf("validate simulation: %d workers, %d GPUs, %d pages of %d bytes: at least 1 of each", c.Workers, c.GPUs, c.Pages, c.PageSize)
	case c.Network.Base < 0 || c.Network.Jitter < 0 || c.Network.Bandwidth < 0 || c.Noise.Spread < 0 || c.Noise.Spread > 1:
		return fmt.Errorf("validate simulation: network %+v, noise %+v: out of range", c.Network, c.Noise)
	case c.DefaultSLO <= 0 || c.DefaultSLO > protocol.MaxSLO || c.Window <= 0 || c.MaxBatch < 0:
		return fmt.Errorf("validate simulation: default SLO %v, window %v, max batch %d: out of range", c.DefaultSLO, c.Window, c.MaxBatch)
	}
	if err := c.Startup.validate(); err != nil {
		return err
	}
	return c.Faults.Validate()
}
