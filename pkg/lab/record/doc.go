// Package record writes and reads recordings of a scheduling core: the policy
// and the configuration, then each event with its time, in order, and from time
// to time a hash of all decisions so far. Given a recording, a core of the same
// code makes the same decisions again, and the hash proves it.
//
//	w, err := record.NewWriter(file)
//	err = w.Begin("clockwork", config) // for each core
//	out := core.Step(now, event)
//	err = w.Step(now, event, out)
//	err = w.Close()
//
// A file is a line that names the format, then blocks: the length of the payload
// (uvarint), the payload, its CRC-32C (four bytes, little-endian). A payload is
// a sequence of records, each a byte of kind and flags and its fields as
// varints. Times are differences to the previous time; names are indexes into a
// table that grows with each new name. Each block ends with a mark: the number
// of events of this core and the hash of its outputs. A truncated file is
// readable up to its last complete block.
//
// The scheduler service, the simulator, replay and explain use it. It is pure
// and has no lock: one goroutine owns a Writer or a Reader. A Writer buffers one
// block and flushes only when the block is full; frequent events are not
// compressed.
package record
