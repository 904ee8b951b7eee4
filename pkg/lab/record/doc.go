// Package record writes and reads recordings of the scheduler's core: what a term and the
// policy in it are made with, then each event of the term with its time, in order, and from
// time to time a hash of all outputs so far. Given a recording, a term of the same code does
// the same again, and the hash proves it. The steps of the policy follow from the term's.
//
//	w, err := record.NewWriter(file)
//	err = w.Begin("clockwork", config, termConfig) // for each term
//	out := term.Step(now, event)
//	err = w.Step(now, event, out)
//	err = w.Close()
//
// A file is a line that names the format, then blocks: the length of the payload
// (uvarint), the payload, its CRC-32C (four bytes, little-endian). A payload is
// a sequence of records, each a byte of kind and flags and its fields as
// varints. Times are differences to the previous time; names are indexes into a
// table that grows with each new name. Each block ends with a mark: the number
// of events of this term and the hash of its outputs. A truncated file is
// readable up to its last complete block. Traces of requests are left out: the term does
// not look at them.
//
// The scheduler service, the simulator, replay and explain use it. It is pure
// and has no lock: one goroutine owns a Writer or a Reader. A Writer buffers one
// block and flushes only when the block is full; frequent events are not
// compressed.
package record
