// Package record writes and reads recordings of cores: what each machine is made with, then each
// of its events with its time, in order, and from time to time a hash of all its outputs so far.
// Given a recording, a core of the same code does the same again, and the hash proves it.
//
//	w, err := record.NewWriter(file)
//	err = w.Begin("measure", config) // selects the machine; others may begin beside it
//	out := machine.Step(now, event)
//	err = w.Step(now, event, &out)
//	err = w.Close()
//
// A file is a line that names the format, then blocks: the length of the payload
// (uvarint), the payload, its CRC-32C (four bytes, little-endian). A payload is
// a sequence of records, each a byte of kind and flags and its fields as
// varints. Times are differences to the previous time; names are indexes into a
// table that grows with each new name. Each block ends with a mark: the number
// of events of the machine at work and the hash of its outputs. A truncated file is
// readable up to its last complete block.
//
// The frequent events of the scheduler have records of their own: 16 bytes for a submission. All
// others are the JSON of the event behind the name of its type. They come back as they were,
// apart from this:
//
//   - a request or an order that the core gave out is a number, which a replay looks up
//     in what the replayed core gave out
//   - payloads are their lengths, and come back as zeros
//   - values of the driver, and traces of requests, are left out: no core looks at them
//
// A core is known here by its row in Cores: the types of its events, and how one is made from its
// config.
//
// Package recorder has the observers of services, the simulator, replay and explain use it too.
// It is pure and has no lock: one goroutine owns a Writer or a Reader. A Writer buffers one
// block and flushes only when the block is full, or when it is told to.
package record
