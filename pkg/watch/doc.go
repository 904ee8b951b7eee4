// Package watch carries what the services report about their work to listeners.
//
// A service gets a Hub through its Config. It reports to the Hub each answered request
// (front door), each ended action (scheduler) and each result (worker), and registers a
// Source from which its gauges can be read at any time. cmd registers the listeners
// before any service starts:
//
//	hub := &watch.Hub{}
//	hub.OnRequest(func(r *watch.Request) { ... })
//	config.Telemetry = hub
//
// Listeners are called on the hot path, from many goroutines and often under the
// service's lock: they must be short, must not block, and must not keep a pointer that
// they receive. A nil Hub drops every report, at the cost of a comparison.
//
// The packages below this one are listeners. This package does not know NATS, and
// nothing that a listener does influences a scheduling decision.
package watch
