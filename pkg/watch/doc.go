// Package watch is what the services tell of their work, and who hears it.
//
// A service is given a Hub by its Config. It tells the Hub of each request that was
// answered (front door), each action that ended (scheduler) and each result that
// was given (worker), and lends it a Source of what can be read at any time. cmd
// decides who listens, before any service starts:
//
//	hub := &watch.Hub{}
//	hub.OnRequest(func(r *watch.Request) { ... })
//	config.Telemetry = hub
//
// Listeners are called where the work is done, from many goroutines and often under
// the service's lock: they take little time, block on nothing, and keep no pointer
// that they are given. A nil Hub hears nothing, and telling it costs a comparison.
//
// The packages below this one are listeners. Nothing here knows the bus, and nothing
// that a listener does comes back into a decision.
package watch
