// Package bus carries protocol's types over NATS: the codecs of every message,
// connections with the settings that Clockwork depends on, the embedded
// server, the key-value state, leases, heartbeats and the startup buffer.
//
// Only this package knows msgpack. Services and cmd call it. Codecs are pure
// functions; the other types say for themselves who may call them.
//
// Whatever arrives is checked by a bounded pre-scan before it is decoded: the
// decoder trusts declared lengths, and five bytes can declare 32 GiB.
package bus
