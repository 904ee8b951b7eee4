package clocksync

import (
	"time"

	"clockwork/pkg/protocol"
)

// window is how many readings are kept. The estimate is the kept reading with
// the shortest round trip, because its error is at most half of the round trip.
// Readings older than fresh are not used, because clocks drift.
const (
	window = 64
	fresh  = 2 * time.Second
)

// Enough is how many readings make an offset trustworthy.
const Enough = 8

// Offset estimates how far the scheduler's clock is ahead of the local clock.
// The caller exchanges the messages and takes the times.
type Offset struct {
	// epoch is that of the scheduler whose clock is read; another one begins anew.
	epoch uint64
	// readings is a ring of the last ones, count how many there were since the epoch began or a
	// clock was stepped.
	readings [window]reading
	count    int
	// best is the reading that counts: among those that are fresh, the one with the shortest
	// round trip.
	best reading
	// steps counts the steps of either clock in this epoch.
	steps int
}

// reading is one measured offset; at is the local time of the reply.
type reading struct {
	offset, roundTrip time.Duration
	at                protocol.Time
}

// 1/drifts is the largest relative drift between two clocks. NTP slews by half
// of that.
const drifts = 1000

// agree reports whether one offset can explain both readings, given their round
// trips and the drift between them.
func (r reading) agree(with reading) bool {
	drift := r.at.Sub(with.at).Abs() / drifts
	return (r.offset - with.offset).Abs() <= (r.roundTrip+with.roundTrip)/2+drift+time.Microsecond
}

// Add takes one reading: the local times of request and reply, and the
// scheduler's time in the reply. A newer epoch is another clock and restarts the
// estimate. So does a stepped clock, which shows as two readings that contradict
// each other. A reading of an older epoch, or with a reply before its request,
// is ignored.
func (o *Offset) Add(epoch uint64, sent, answered, remote protocol.Time) {
	if epoch < o.epoch || answered < sent {
		return
	}
	if epoch > o.epoch {
		*o = Offset{epoch: epoch}
	}
	trip := answered.Sub(sent)
	now := reading{remote.Sub(sent) - trip/2, trip, answered}
	if o.count > 0 && !now.agree(o.best) {
		*o = Offset{epoch: epoch, steps: o.steps + 1}
	}
	o.readings[o.count%window] = now
	o.count++
	o.best = now
	for _, r := range o.readings[:min(o.count, window)] {
		if r.roundTrip < o.best.roundTrip && answered.Sub(r.at) <= fresh {
			o.best = r
		}
	}
}

// Steps returns how many times readings of one epoch contradicted each other:
// one of the two clocks was stepped, or runs at another speed.
func (o *Offset) Steps() int { return o.steps }

// Epoch returns the epoch of the estimated clock, 0 while there are too few
// readings.
func (o *Offset) Epoch() uint64 {
	if o.count < Enough {
		return 0
	}
	return o.epoch
}

// Newest returns the epoch of the readings, however few they are, 0 while there are none.
func (o *Offset) Newest() uint64 { return o.epoch }

// Ahead returns how far the scheduler's clock is ahead, and the error bound of
// that. Both are valid only while Epoch is not 0.
func (o *Offset) Ahead() (by, give time.Duration) { return o.best.offset, o.best.roundTrip / 2 }

// Local converts the scheduler's time to local time. 0 and Never stay unchanged.
func (o *Offset) Local(t protocol.Time) protocol.Time {
	if t == 0 || t == protocol.Never {
		return t
	}
	return t.Add(-o.best.offset)
}

// Remote converts local time to the scheduler's time. 0 and Never stay
// unchanged.
func (o *Offset) Remote(t protocol.Time) protocol.Time {
	if t == 0 || t == protocol.Never {
		return t
	}
	return t.Add(o.best.offset)
}
