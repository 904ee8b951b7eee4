// Package workload says who sends requests when: arrival processes, closed
// loops and replays of traces, the workloads of the Clockwork paper and of its
// code, and a generator of traces. The simulator and the live load generator
// run the same workloads.
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
// The same workload gives the same arrivals, bit by bit on every machine, as
// long as the answers come at the same times. A stream draws from seeds of its
// own, one for each concern: leaving out a stream, or changing its SLO, changes
// no other arrival. (The generator of traces uses floating-point functions, so
// there the promise is for one architecture.)
//
// # Driving live load
//
// A wall clock drives a Source as above, from one goroutine; another one for
// each request sends it and brings the answer back on a channel (live_test.go
// has the whole loop). What such a driver should know:
//
//   - Times count from the run's start: keep it, and wait until start + At by
//     the monotonic clock. Where the timer rang late, take all that is due
//     before waiting again; Next never skips.
//   - Measure latency from At and not from the moment of sending, and do not
//     hold an open loop back for answers: else a slow server is asked less, and
//     looks better than it is.
//   - Tell Done of every answer of a closed loop, errors and time-outs too, with
//     the time at which it came. It may be told late; but a client that is never
//     answered never sends again.
//   - A run is over when Peek says Never and no request of a closed loop is
//     open.
//   - Several processes share a workload by its streams: each takes the streams
//     i, i+n, i+2n, ... of the same Workload and keeps Loads whole, so that
//     Model means the same to all. Together they send what one would have sent.
//     They begin at an agreed moment. One stream that is too much for a process
//     is made several before: Poisson streams of other seeds add up to one of
//     the sum of their rates, closed loops to one of the sum of their clients.
//   - Peek and Next take less than a microsecond (BenchmarkSource), and nothing is
//     allocated.
//
// It does not send, wait or measure, and knows no model but by its path.
package workload
