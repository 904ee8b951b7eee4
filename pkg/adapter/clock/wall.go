package clock

import (
	"time"

	"clockwork/pkg/protocol"
)

// Wall returns what the wall clock showed, or will show, at instants of Now, as it
// goes at this moment. It is for those who tell the outside world of instants; no
// decision is made by it.
func Wall() func(protocol.Time) time.Time {
	now := time.Now() // of both clocks
	at := aged(now.Sub(started))
	return func(t protocol.Time) time.Time { return now.Add(t.Sub(at)) }
}
