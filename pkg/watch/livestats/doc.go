// Package livestats counts what a service publishes for those who watch it:
// protocol.LiveStats of the last seconds.
//
// A service makes a FrontDoor, Scheduler or Worker and reports its work to it from any
// goroutine. While nobody watches, that costs a comparison and keeps nothing.
// pkg/adapter/nats says when somebody does, and takes the statistics once a second:
//
//	counted := livestats.NewFrontDoor()
//	stats, err := b.StartLiveStats(protocol.FrontDoor, id, counted)
//	...
//	counted.Answered(model, code, latency, cold)
//
// Time is an argument. What is known of a service at any time (its stage, its pages)
// it adds itself.
package livestats
