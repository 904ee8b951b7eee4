// Package wire turns protocol's types into bytes and back: msgpack arrays between
// services, msgpack or JSON bodies for clients, JSON in the key-value store.
//
// Whatever arrives is walked through by a bounded pre-scan before it is decoded:
// the decoder trusts declared lengths, and five bytes can declare 32 GiB. The
// functions are pure and may be called from any goroutine; pools of buffers are
// the only state. Nothing else in Clockwork knows msgpack, and nothing here knows
// NATS: pkg/adapter/nats publishes what is encoded here.
package wire
