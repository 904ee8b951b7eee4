package frontdoor

import (
	"testing"

	"clockwork/pkg/protocol"
)

// TestAnOKIsDecidedAgainWhenItIsSent: what was in time when it was decided may be late by
// then, or larger than the broker carries.
func TestAnOKIsDecidedAgainWhenItIsSent(t *testing.T) {
	for _, c := range []struct {
		sent   protocol.Time
		bytes  int64
		wrong  *protocol.Error
		unsent bool
		at     protocol.Time
	}{
		{sent: 5, bytes: 100, at: 7}, // no clock goes back
		{sent: 9, bytes: 100, at: 9},
		{sent: 10, bytes: 100, unsent: true, at: 10},
		{sent: 9, bytes: 101, unsent: true, at: 9},
		{sent: 10, bytes: 101, wrong: protocol.Refusal(protocol.WorkerLost), at: 10},
	} {
		e := Ended{Request: &Request{Arrived: 2, Deadline: 10}, Output: &protocol.Output{}, Refusal: c.wrong, At: 7}
		u := e.SentAt(c.sent, c.bytes, 100)
		if (u != nil) != c.unsent || e.At != c.at || u != nil && (u.Arrived != 2 || u.Deadline != 10 || u.Bytes != c.bytes || u.Limit != 100) {
			t.Errorf("%d bytes sent at %d: %+v at %d", c.bytes, c.sent, u, e.At)
		}
	}
}
