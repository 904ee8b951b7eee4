// Package liveness decides from heartbeats which instances are alive: which
// instances of a service are lost, and whether the holder of a lease is silent,
// so that another candidate takes over.
//
// The scheduler's core, the broker's adapter (pkg/adapter/nats) and the
// simulator use the same rules and constants. Time is counted in heartbeats, not
// read from a clock: the observer counts its own ticks or its own received
// heartbeats. If this process or the broker was paused, no peer is declared lost.
//
// Nothing here locks; a Watch and a Candidate belong to one owner at a time. The
// package does not send, receive or wait.
package liveness
