// Package sim is a discrete-event simulator of the stack: the scheduling core,
// the startup phase, the worker's executor and its page accounting as they run
// in production, with an emulated network, emulated GPUs and a front door around
// them.
//
//	report, err := sim.Run(sim.Config{
//		Policy: "clockwork", Core: sched.Defaults(),
//		Workers: 1, GPUs: 1, Pages: 1376,
//		Network: sim.LAN(), Noise: sim.V100(),
//	}, w, nil)
//
// Virtual time stands still while code runs: what the simulator says of
// latency is about queues, executions, transfers and the network, not about
// this machine. Each concern (network, GPUs, every kind of fault) draws from a
// seed of its own, the arrivals from the workload's. The same config and workload
// give the same Report and the same hash of all events, and a fault more leaves
// the others where they were.
//
// Without a Config.Startup the stack begins activated, with its models in host
// memory, no weights on the GPUs, and profiles that are true: that is what
// policies are compared on. With one it goes through pkg/core/startup, and the
// scheduler plans with what was measured of the emulated GPUs. Reports begin at
// the activation either way.
//
// Config.Faults lose, repeat and reorder messages, kill, pause and cut off
// workers, slow and hang GPUs, set clocks wrong, and end the scheduler and the
// controller. Recovery is the production rules' alone: the core's timers,
// heartbeats, leases, epochs and clocks. In every run the guarantees are checked, with Config.Thorough also
// those that cost time, and Run's error names the first one that is broken by
// seed, time and event: the same Config breaks it again.
//
// Not simulated are the loss of a front door, of the profiler and of the broker,
// two schedulers at once, a clock that jumps, and connections that break: a
// message is lost alone.
//
// One goroutine runs a simulation; it talks to nobody.
package sim
