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
// It does not send, wait or measure, and knows no model but by its path.
package workload
