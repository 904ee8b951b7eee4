// Package sim is a discrete-event simulator of the stack: the scheduling core,
// the worker's executor and its page accounting as they run in production,
// with an emulated network, emulated GPUs and a front door around them.
//
//	report, err := sim.Run(sim.Config{
//		Policy: "clockwork", Core: sched.Defaults(),
//		Workers: 1, GPUs: 1, Pages: 1376,
//		Network: sim.LAN(), Noise: sim.V100(),
//	}, w, nil)
//
// Virtual time stands still while code runs: what the simulator says of
// latency is about queues, executions, transfers and the network, not about
// this machine. Each concern (network, GPUs) draws from a seed of its own, the
// arrivals from the workload's. The same config and workload give the same
// Report and the same hash of all events.
//
// The stack begins activated, with its models in host memory and no weights on
// the GPUs. One goroutine runs a simulation; it talks to nobody.
package sim
