package metrics

import "clockwork/pkg/protocol"

// outcome groups the codes by what they mean for a service level objective.
type outcome uint8

// The outcomes. The share of requests answered in time counts all but invalid ones,
// which are the client's own mistakes.
const (
	answered outcome = iota // OK, which is in time
	late                    // the deadline passed first
	refused                 // not tried: the deadline could not be met, or there was no capacity
	failed                  // a component was lost, broken or stopping
	invalid                 // not a request that could be served
	outcomes = iota
)

var outcomeNames = [outcomes]string{"ok", "late", "refused", "failed", "invalid"}

func (o outcome) String() string { return outcomeNames[o] }

// meaning returns the outcome of a code.
func meaning(c protocol.CodeRow) outcome {
	switch {
	case c.Code == protocol.OK:
		return answered
	case c.Number == 504:
		return late
	case c.Number == 429, c.Code == protocol.DeadlineUnmeetable, c.Code == protocol.Overloaded, c.Code == protocol.BufferTimeout,
		c.Code == protocol.ModelQuarantined, c.Code == protocol.NotActive:
		return refused
	case c.Number < 500:
		return invalid
	}
	return failed
}

// noResult replaces the code of an action without a result.
const noResult = "NO_RESULT"

// places numbers the codes, so that per-code values can be array elements. It is
// read-only.
var places = func() map[protocol.Code]int {
	places := make(map[protocol.Code]int, len(protocol.Codes))
	for i, row := range protocol.Codes {
		places[row.Code] = i
	}
	return places
}()

// place returns the number of a code; an unknown code counts as INTERNAL.
func place(c protocol.Code) int {
	if at, ok := places[c]; ok {
		return at
	}
	return places[protocol.Internal]
}
