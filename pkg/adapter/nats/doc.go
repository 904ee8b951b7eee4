// Package bus connects services to NATS: connections with the settings that Clockwork
// depends on, the embedded server, the key-value state, leases, heartbeats, the startup
// buffer, and the publishing of messages that pkg/wire encodes.
//
// Services and cmd call it. Each type states its own concurrency.
package bus
