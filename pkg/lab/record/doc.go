// Package record writes down what a scheduling core was given, and reads it
// back: the policy and configuration it was made with, then each event with its
// time, in order, and from time to time a hash of everything it has decided.
// From that a core of the same code makes the same decisions again, and the
// hash proves it.
//
//	w, err := record.NewWriter(file)
//	err = w.Begin("clockwork", config) // for each core
//	out := core.Step(now, event)
//	err = w.Step(now, event, out)
//	err = w.Close()
//
// A file is a line that names the format, then blocks: the length of the
// payload (uvarint), the payload, its CRC-32C (four bytes, little-endian). A
// payload is records, each a byte of kind and flags and its fields as varints;
// times are differences to the time before, names are numbers of a table that
// grows as they come. Each block ends with a mark: the number of events of this
// core and the hash of its outputs. A file that was cut off is readable up to
// its last whole block.
//
// The scheduler service, the simulator, replay and explain use it. It is pure
// and has no lock: one goroutine owns a Writer or a Reader. It buffers a block
// and never flushes by itself but when that is full; it does not compress
// frequent events.
package record
