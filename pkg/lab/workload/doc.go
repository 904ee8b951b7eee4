// Package workload defines workloads, i.e. which requests are sent when: arrival
// processes, closed loops and replays of traces, the workloads of the Clockwork
// paper and of its code, and a generator of traces. The simulator and the live
// load generator run the same workloads.
//
// A Workload is data; a Source is one run of it:
//
//	w := workload.Workload{
//		Name:  "mine",
//		Seed:  1,
//		Loads: []workload.Load{{Path: "zoo/resnet50_v2", Name: "resnet50_v2", Copies: 2}},
//		Streams: []workload.Stream{
//			{Seed: 0, Model: 0, Process: workload.Poisson{Rate: workload.Always(200.0)}, SLO: workload.Within(50 * time.Millisecond)},
//			{Seed: 1, Model: 1, Process: workload.Closed{Clients: 16}},
//		},
//	}
//	instances := w.Instances() // load these
//	source, err := w.Source(nil)
//	for {
//		select {
//		case a := <-answers: // and tell of every answer, good or bad
//			source.Done(a.Arrival, now())
//		case <-timerAt(source.Peek()): // Never: only an answer brings more
//			a, _ := source.Next()
//			send(instances[a.Model].Name, a)
//		}
//	}
//
// The same workload gives the same arrivals, bit for bit on every machine, as
// long as the answers arrive at the same times. A stream has random seeds of its
// own, one per concern: removing a stream, or changing its SLO, changes no other
// arrival. (The generator of traces uses floating-point functions, so its traces
// are the same on one architecture only.)
//
// # Driving live load
//
// A wall clock drives a Source as above, from one goroutine; another goroutine
// per request sends it and returns the answer on a channel (live_test.go
// contains the whole loop). Rules for such a driver:
//
//   - Times count from the run's start: keep the start, and wait until start + At by the
//     monotonic clock. If the timer fires late, send all due requests before waiting again;
//     Next never skips.
//   - Measure latency from At, not from the moment of sending, and do not delay an open loop
//     until answers arrive: otherwise a slow server receives fewer requests and looks better
//     than it is.
//   - Call Done for every answer of a closed loop, including errors and time-outs, with its
//     arrival time. The call may be late; but a client without an answer never sends again.
//   - A run is over when Peek returns Never and no request of a closed loop is open.
//   - Several processes can share a workload by its streams: each takes the streams i, i+n,
//     i+2n, ... of the same Workload and keeps Loads whole, so that Model means the same
//     everywhere. Together they send the same requests as one process would. They start at an
//     agreed time. Split a stream that is too much for one process beforehand: Poisson streams
//     with different seeds add up to one with the sum of their rates, closed loops to one with
//     the sum of their clients.
//   - Peek and Next take less than a microsecond (BenchmarkSource) and allocate nothing.
//
// The package does not send, wait or measure, and identifies models only by
// their paths.
package workload
