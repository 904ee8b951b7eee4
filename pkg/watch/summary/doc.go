// Package summary logs periodically what the services of a process did, as the
// original's controller prints every ten seconds: a line for a front door's requests, a
// line for a scheduler's actions, and a line for each GPU.
//
// Listen attaches a Summary to a hub. The cost of an event does not depend on how many
// there were. A period begins with an event of a front door, a scheduler or a worker,
// and services without events get no line, so that an idle stack logs nothing. Durations
// are counted with two significant digits, in bounded memory.
//
// Lines are logged by slog at level info. If that level is off, a Summary can report
// each period as one short line for people instead.
package summary
