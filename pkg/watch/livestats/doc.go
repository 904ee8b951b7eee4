// Package livestats collects the statistics that a service publishes while a client
// watches: protocol.LiveStats of the last seconds.
//
// A service creates a FrontDoor, Scheduler or Worker and reports its work there from any
// goroutine. While no client watches, a report costs a comparison and stores nothing.
// pkg/adapter/nats starts and stops the collection, and reads the statistics once a
// second:
//
//	counted := livestats.NewFrontDoor()
//	stats, err := b.StartLiveStats(protocol.FrontDoor, id, counted)
//	...
//	counted.Answered(model, code, latency, cold)
//
// Time is an argument. The service itself adds its current state (its stage, its pages).
package livestats
