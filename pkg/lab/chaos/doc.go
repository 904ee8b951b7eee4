// Package chaos breaks a running stack on purpose and measures what its users
// see: which requests were lost, refused or late, and how long until all is well
// again.
//
// A Stack is real processes of the clockwork binary, each of which reaches the
// broker through a Proxy of its own; a Fault befalls one of them; Traffic is an
// open loop of requests that a plain NATS client sends, and its Effect is what
// came of them. `clockwork chaos` and the tests of integration/ use it.
package chaos
