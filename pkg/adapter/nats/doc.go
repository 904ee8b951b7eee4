// Package bus connects services to NATS: connections with the settings that
// Clockwork depends on, the embedded server, the key-value state, leases,
// heartbeats, the startup buffer, and the publishing of what pkg/wire encodes.
//
// Services and cmd call it. Its types say for themselves who may call them.
package bus
