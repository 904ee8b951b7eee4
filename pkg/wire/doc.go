// Package wire encodes protocol's types and decodes them: msgpack arrays between
// services, msgpack or JSON bodies for clients, JSON in the key-value store.
//
// A bounded pre-scan checks every received body before it is decoded: the decoder trusts
// declared lengths, and five bytes can declare 32 GiB. The functions are pure and may be
// called from any goroutine; pools of buffers are the only state. No other package of
// Clockwork knows msgpack, and this package does not know NATS: pkg/adapter/nats
// publishes the encoded messages.
package wire
