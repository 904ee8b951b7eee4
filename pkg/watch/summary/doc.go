// Package summary tells now and then what the services of a process did, as the
// original's controller prints every ten seconds: a line of a front door's requests, a
// line of a scheduler's actions, and a line for each GPU.
//
// Listen attaches a Summary to a hub. Hearing of an event costs the same however many
// there were; a period begins with an event of a front door, a scheduler or a worker,
// and who did nothing in it has no line, so that an idle stack says nothing. Durations
// are counted with two exact digits, in bounded memory.
//
// It tells by slog at level info. Where nobody reads that level it can tell a person
// instead, in one line for all.
package summary
