package frontdoor

import (
	"testing"

	"clockwork/pkg/protocol"
)

// TestAnOKIsDecidedAgainWhenItIsSent: what was in time when it was decided may be late by then.
func TestAnOKIsDecidedAgainWhenItIsSent(t *testing.T) {
	for _, c := range []struct {
		sent  protocol.Time
		wrong *protocol.Error
		want  protocol.Code
		at    protocol.Time
	}{
		{sent: 5, want: protocol.OK, at: 7}, // no clock goes back
		{sent: 9, want: protocol.OK, at: 9},
		{sent: 10, want: protocol.DeadlineExceeded, at: 10},
		{sent: 10, wrong: protocol.Refusal(protocol.WorkerLost), want: protocol.WorkerLost, at: 10},
	} {
		e := Ended{Request: &Request{Arrived: 2, Deadline: 10}, Output: &protocol.Output{}, Refusal: c.wrong, At: 7}
		e.SentAt(c.sent)
		code := protocol.OK
		if e.Refusal != nil {
			code = e.Refusal.Code
		}
		if code != c.want || e.At != c.at || (code == protocol.DeadlineExceeded) != (e.Output == nil) {
			t.Errorf("sent at %d: %s at %d, output %v", c.sent, code, e.At, e.Output)
		}
	}
}
