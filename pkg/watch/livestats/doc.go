// Package livestats counts what a service tells to those who watch it: protocol.Figures
// of the last seconds.
//
// A service makes a Door, Scheduler or Worker and has it hear of its work from
// whichever goroutine does it. While nobody watches, that costs a comparison and keeps
// nothing. pkg/adapter/nats says when somebody does, and takes the figures once a second:
//
//	counted := figures.NewDoor()
//	shown := b.StartFigures(protocol.FrontDoor, id, counted)
//	...
//	counted.Answered(model, code, latency, cold)
//
// Time is an argument. What is known of a service at any time (its stage, its pages)
// it adds itself.
package livestats
