package clock

import (
	"time"

	"clockwork/pkg/protocol"
)

// window is how many readings are kept; of these the one with the shortest
// round trip counts, since its error is at most half of that.
const window = 64

// Enough is how many readings make an offset trustworthy.
const Enough = 8

// Offset estimates how far the scheduler's clock is ahead of the local one,
// from questions and answers. It does no I/O: the caller asks and times.
type Offset struct {
	epoch    uint64
	readings [window]reading
	count    int
	offset   time.Duration
}

type reading struct{ offset, roundTrip time.Duration }

// Add takes one reading: the local times of question and answer, and what the
// scheduler of an epoch said its time was. A newer epoch is another clock and
// begins anew; a reading of an older one, or one that goes backwards, is
// ignored.
func (o *Offset) Add(epoch uint64, asked, answered, remote protocol.Time) {
	if epoch < o.epoch || answered < asked {
		return
	}
	if epoch > o.epoch {
		*o = Offset{epoch: epoch}
	}
	trip := answered.Sub(asked)
	o.readings[o.count%window] = reading{remote.Sub(asked) - trip/2, trip}
	o.count++
	best := o.readings[0]
	for _, r := range o.readings[:min(o.count, window)] {
		if r.roundTrip < best.roundTrip {
			best = r
		}
	}
	o.offset = best.offset
}

// Epoch returns the epoch whose clock is known, 0 while there are too few
// readings.
func (o *Offset) Epoch() uint64 {
	if o.count < Enough {
		return 0
	}
	return o.epoch
}

// Local converts the scheduler's time to local time. 0 and Never, which name
// no instant, stay what they are.
func (o *Offset) Local(t protocol.Time) protocol.Time {
	if t == 0 || t == protocol.Never {
		return t
	}
	return t.Add(-o.offset)
}

// Remote converts local time to the scheduler's.
func (o *Offset) Remote(t protocol.Time) protocol.Time {
	if t == 0 || t == protocol.Never {
		return t
	}
	return t.Add(o.offset)
}
