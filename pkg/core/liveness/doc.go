// Package liveness decides who is alive by heartbeats: which instances of a
// service are lost, and whether the holder of a lease is silent so that another
// candidate takes over.
//
// The scheduler's core, the broker's adapter (pkg/adapter/nats) and the
// simulator use the same rules and constants. Time is counted in beats, not read
// from a clock: whoever watches counts its own ticks or hears its own heartbeats.
// If this process was paused, or the broker was, no peer is declared lost for it.
//
// Nothing here locks; a Watch and a Succession belong to one owner at a time. The
// package does not send, receive or wait.
package liveness
