// Package protocol is Clockwork's vocabulary: names, time, tensors, models,
// actions, results, requests, states, subjects and the one table of codes.
//
// Everything that two services say to each other is a type of this package;
// how it becomes bytes is the business of pkg/adapter/nats. Every other package may
// import protocol, and protocol imports only the standard library.
//
// Values are plain structs without locks. A value that was handed over (to a
// state machine, to a publisher) belongs to the receiver.
package protocol
