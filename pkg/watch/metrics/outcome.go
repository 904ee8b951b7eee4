package metrics

import "clockwork/pkg/protocol"

// outcome is what a code means to somebody who watches an objective.
type outcome uint8

// The outcomes. All but invalid count in the share that was answered in time: those
// are the client's own mistakes.
const (
	answered outcome = iota // OK, which is in time
	late                    // the deadline came first
	refused                 // not tried: it could not be in time, or there was no room
	failed                  // something was lost, broken or stopping
	invalid                 // no request that could be served
	outcomes = iota
)

var outcomeNames = [outcomes]string{"ok", "late", "refused", "failed", "invalid"}

func (o outcome) String() string { return outcomeNames[o] }

// meaning is the outcome of a code.
func meaning(c protocol.CodeRow) outcome {
	switch {
	case c.Code == protocol.OK:
		return answered
	case c.Number == 504:
		return late
	case c.Number == 429, c.Code == protocol.DeadlineUnmeetable, c.Code == protocol.Overloaded, c.Code == protocol.BufferTimeout:
		return refused
	case c.Number < 500:
		return invalid
	}
	return failed
}

// noResult stands in the place of the code of an action without a result.
const noResult = "NO_RESULT"

// places number the codes, so that what belongs to one is found in an array. It is
// never written.
var places = func() map[protocol.Code]int {
	places := make(map[protocol.Code]int, len(protocol.Codes))
	for i, row := range protocol.Codes {
		places[row.Code] = i
	}
	return places
}()

// place is the number of a code; one that is in no table counts as INTERNAL.
func place(c protocol.Code) int {
	if at, ok := places[c]; ok {
		return at
	}
	return places[protocol.Internal]
}
