// Package protocol is Clockwork's vocabulary: names, time, tensors, models, actions,
// results, requests, states, subjects and the one table of codes.
//
// Every message between two services is a type of this package; pkg/wire encodes it.
// Every other package may import protocol, and protocol imports only the standard
// library.
//
// Values are plain structs without locks. A value that was passed on (to a state
// machine, to a publisher) belongs to the receiver.
package protocol
