package clock

import (
	"time"

	"clockwork/pkg/protocol"
)

// Wall returns a function that converts instants of Now to wall-clock time, by the
// current difference of the two clocks. It is for reporting instants to users; no
// decision uses it.
func Wall() func(protocol.Time) time.Time {
	now := time.Now() // of both clocks
	at := aged(now.Sub(started))
	return func(t protocol.Time) time.Time { return now.Add(t.Sub(at)) }
}
