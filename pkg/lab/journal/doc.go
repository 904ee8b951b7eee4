// Package journal writes down what a core was given, any core but the scheduler's,
// and proves that it decides the same again: its name and config, then each event
// with its time, and after each a hash of everything that it has decided.
//
//	w, err := journal.NewWriter(file)
//	config.Observers = append(config.Observers, w.Measure()) // of a profiler
//	err = w.Close()
//
//	verdict, err := journal.Verify(file)
//
// A file is a line that names the format, then a line of JSON for each machine and
// each of its events, so that people and other tools can read it, and one that says
// that it was closed. Machines may work beside each other; each line names its own. A
// file that was cut off is good up to its last whole line. An event costs 10 to 20
// microseconds: little for cores with a thousand events a second, and the larger part
// of the time of a busy front door, which is recorded only if somebody asks for it. The
// scheduler's core, which takes the most events, has a compact format in package record.
//
// A core is known here by its row in Cores: the types of its events, and how one is
// made from its config. Events must come back from JSON as they were, apart from three
// things:
//
//   - a request or an order that the core gave out is a number, which a replay looks up
//     in what the replayed core gave out
//   - payloads are their lengths, and come back as zeros
//   - values of the driver are left out
//
// A Writer may be called from any goroutine. It writes each line at once and never
// waits for the disk. It does not open files, and reads no clock.
package journal
