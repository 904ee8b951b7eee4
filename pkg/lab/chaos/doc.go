// Package chaos injects faults into a running stack and measures what clients
// see: which requests were lost, refused or late, and how long the recovery
// took.
//
// A Stack is a set of clockwork processes, each connected to the broker through
// a Proxy of its own. A Fault is injected into one of them. Traffic is an open
// loop of requests from a plain NATS client; Effect summarises their outcomes.
// `clockwork chaos` and the tests of integration/ use the package.
package chaos
