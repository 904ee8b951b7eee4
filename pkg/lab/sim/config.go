package sim

import (
	"fmt"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/hardware"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/protocol"
)

// Config describes the simulated stack, without the workload.
type Config struct {
	Policy string
	Core   policies.Config
	// Workers is the number of workers, GPUs the number per worker, Pages the number
	// per GPU, each of PageSize bytes.
	Workers, GPUs, Pages int
	PageSize             int64
	// MaxBatch bounds the batch sizes of the models; 0: all measured sizes. Padded:
	// only measured sizes are executed, other batches are padded.
	MaxBatch int
	Padded   bool
	// Resident: the models' weights are on every GPU at the start, as far as they
	// fit.
	Resident bool
	Network  Network
	Noise    Noise
	// Hardware is what a live stack was measured to do; nil: the zoo's times. What it does not
	// say of a model, Noise does.
	Hardware *hardware.Hardware
	Seed     uint64
	Faults   Faults
	// Startup makes the stack run its startup phase first. Without it the stack
	// starts activated, with exact profiles.
	Startup Startup
	// Thorough enables the expensive invariant checks, at every event.
	Thorough bool
	// DefaultSLO applies to requests without an SLO.
	DefaultSLO time.Duration
	// Window is the length of one point of the series; default 1 s.
	Window time.Duration
	// Timeline is until when the actions of each GPU are recorded; 0 records none.
	Timeline time.Duration
	// pace are the intervals of the production; tests choose others.
	pace pace
	// Observers are shown the terms of the schedulers that hold the lease.
	Observers sched.TermObservers
	// Observe, if not nil, is shown each step of their policies' cores (sched.Term.Observe).
	Observe func(now protocol.Time, e sched.Event, out *sched.Output)
}

// pace are intervals: of heartbeats, of a standby's looks at the lease, and of a worker's
// questions for the time.
type pace struct{ heartbeat, campaign, clock time.Duration }

// Network describes message delays: Base plus exponentially distributed Jitter.
// Payloads take additional time at Bandwidth bytes per second (0: unlimited).
type Network struct {
	Base, Jitter time.Duration
	Bandwidth    float64
}

// LAN is a network within one rack.
func LAN() Network {
	return Network{Base: 100 * time.Microsecond, Jitter: 50 * time.Microsecond, Bandwidth: 1.25e9}
}

// Noise describes how predictable the GPUs are: Spread is the relative standard
// deviation of each duration.
type Noise struct{ Spread float64 }

// V100 is as predictable as the paper's GPUs: 99 % of executions within 0.3 %
// of the median.
func V100() Noise { return Noise{Spread: 0.001} }

// Defaults returns one worker with one GPU as in the paper.
func Defaults(policy string) Config {
	return Config{
		Policy: policy, Core: policies.Defaults(), Workers: 1, GPUs: 1, Pages: 1376, PageSize: 16 << 20,
		Network: LAN(), Noise: V100(), Seed: 1, DefaultSLO: 100 * time.Millisecond, Window: time.Second,
	}
}

// OnProcessor has executors on a host's processor in place of GPUs: durations vary, because
// others run there too, an input of 602 kB takes 3.4 ms through the broker on that host, and
// all weights are in memory.
func (c *Config) OnProcessor() {
	c.Noise, c.Network.Bandwidth, c.Resident = Noise{Spread: 0.04}, 175e6, true
}

// Validate returns an error that names the first invalid field.
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
