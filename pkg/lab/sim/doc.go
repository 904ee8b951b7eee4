// Package sim is a discrete-event simulator of the stack: the scheduling core,
// the startup phase, the worker's executor and its page accounting as they run
// in production, with an emulated network, emulated GPUs and a front door around
// them.
//
//	report, err := sim.Run(sim.Config{
//		Policy: "clockwork", Core: policies.Defaults(),
//		Workers: 1, GPUs: 1, Pages: 1376,
//		Network: sim.LAN(), Noise: sim.V100(),
//	}, w, nil)
//
// Virtual time stands still while code runs: simulated latency contains queues,
// executions, transfers and the network, not the speed of the machine that runs
// the simulation. Each concern (network, GPUs, every kind of fault) has a random
// seed of its own; the arrivals use the workload's. The same config and workload
// give the same Report and the same hash of all events, and an additional fault
// does not move the others.
//
// Without Config.Startup the stack starts activated, with its models in host
// memory, no weights on the GPUs, and exact profiles: policies are compared in
// this mode. With it the stack goes through pkg/core/startup, and the scheduler
// plans with profiles measured on the emulated GPUs. In both modes reports begin
// at the activation.
//
// Config.Faults lose, duplicate and reorder messages; kill, pause and cut off
// workers; slow down and hang GPUs; set clocks wrong; kill the scheduler and the
// controller; have a scheduler stand still until two of them think they lead; kill
// front doors, or cut them off; and restart the broker. Only the production rules
// recover from them: the core's timers, heartbeats, leases, epochs and clocks. Every
// run checks the guarantees; Config.Thorough adds the expensive checks. Run's error names the
// first broken guarantee with seed, time and event: the same Config breaks it
// again.
//
// Not simulated: the loss of the profiler, a clock that is stepped, a second controller,
// and what a front door stores in the startup buffer before it has seen a scheduler.
//
// One goroutine runs a simulation. It uses no I/O.
package sim
