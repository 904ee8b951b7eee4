package protocol

import "time"

// The holders of a lease are told apart by a number that the store keeps: the epoch of a
// scheduler, the term of a controller or profiler (Leader). Nothing but an election makes
// such a number, and no message raises it, whoever sent it.

// TermAhead is how far ahead of the clock of its reader the number of a leader may be: more
// than clocks that are set by hand or in another time zone differ. It also bounds for how long
// numbers that nobody was given, from the key of a leader, can keep leaders out.
const TermAhead = 24 * time.Hour

// NextTerm returns the number of a leader that is elected now, where stored is that of the
// leader before it, 0 if the store has none. It is the time in microseconds, so that it is
// above the earlier ones also if the store was lost; or one above the stored one, if the clock
// of the leader before is ahead. A stored number that nobody can believe counts for nothing:
// what follows it would not be believed either.
func NextTerm(now time.Time, stored uint64) uint64 {
	next := micros(now)
	if stored >= next && CredibleTerm(now, stored) {
		next = stored + 1
	}
	return next
}

// CredibleTerm reports whether a number that a message of a leader names can be one. It is
// asked of each message before a core gets it. What can be one depends on the clock alone, so
// that processes that have just begun and those that have seen many leaders agree.
func CredibleTerm(now time.Time, term uint64) bool { return term <= micros(now.Add(TermAhead)) }

// micros returns the microseconds since 1970, at least 1: 0 is no number.
func micros(t time.Time) uint64 { return uint64(max(1, t.UnixMicro())) }
