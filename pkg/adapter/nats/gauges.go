package bus

import (
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/watch"
)

// roundTripWait bounds how long Gauges waits for the broker.
const roundTripWait = 250 * time.Millisecond

// Gauges measures the connections. It waits for the broker at most roundTripWait.
func (b *Bus) Gauges() watch.Bus {
	r := watch.Bus{Connected: b.Unreachable() == "", Dropped: b.Dropped(), Reconnects: b.Reconnects()}
	for _, nc := range []*nats.Conn{b.Control, b.Payload} {
		s := nc.Stats()
		r.MessagesIn, r.MessagesOut = r.MessagesIn+s.InMsgs, r.MessagesOut+s.OutMsgs
		r.BytesIn, r.BytesOut = r.BytesIn+s.InBytes, r.BytesOut+s.OutBytes
	}
	if !r.Connected {
		return r
	}
	asked := time.Now()
	if b.Control.FlushTimeout(roundTripWait) == nil {
		r.RoundTrip = time.Since(asked)
	}
	return r
}

// Unreachable returns why the broker cannot be reached, "" if it can.
func (b *Bus) Unreachable() string {
	for _, l := range b.ours() {
		if !l.up() {
			return "the broker is not reached: " + l.nc.Status().String()
		}
	}
	return ""
}
