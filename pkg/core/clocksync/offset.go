package clocksync

import (
	"time"

	"clockwork/pkg/protocol"
)

// window is how many readings are kept; of these the one with the shortest
// round trip counts, since its error is at most half of that. Those older than
// fresh do not: clocks drift.
const (
	window = 64
	fresh  = 2 * time.Second
)

// Enough is how many readings make an offset trustworthy.
const Enough = 8

// Offset estimates how far the scheduler's clock is ahead of the local one,
// from questions and answers. It does no I/O: the caller asks and times.
type Offset struct {
	epoch    uint64
	readings [window]reading
	count    int
	best     reading
	steps    int
}

// reading is one, with the local time of its answer.
type reading struct {
	offset, roundTrip time.Duration
	at                protocol.Time
}

// drifts is the part of a second by which two clocks may drift apart in one: NTP
// slews by half of that.
const drifts = 1000

// agree reports whether one offset may have been that of both readings: the
// scheduler's time was read between question and answer, and the clocks may have
// drifted apart from the one to the other.
func (r reading) agree(with reading) bool {
	drift := r.at.Sub(with.at).Abs() / drifts
	return (r.offset - with.offset).Abs() <= (r.roundTrip+with.roundTrip)/2+drift+time.Microsecond
}

// Add takes one reading: the local times of question and answer, and what the
// scheduler of an epoch said its time was. A newer epoch is another clock and
// begins anew, as does a clock that was stepped, which shows in two readings of
// which one must be wrong; a reading of an older epoch, or one that goes
// backwards, is ignored.
func (o *Offset) Add(epoch uint64, asked, answered, remote protocol.Time) {
	if epoch < o.epoch || answered < asked {
		return
	}
	if epoch > o.epoch {
		*o = Offset{epoch: epoch}
	}
	trip := answered.Sub(asked)
	now := reading{remote.Sub(asked) - trip/2, trip, answered}
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

// Steps returns how often readings of an epoch contradicted each other: one of
// the two clocks was stepped, or runs at another speed.
func (o *Offset) Steps() int { return o.steps }

// Epoch returns the epoch whose clock is known, 0 while there are too few
// readings.
func (o *Offset) Epoch() uint64 {
	if o.count < Enough {
		return 0
	}
	return o.epoch
}

// Ahead returns how far the scheduler's clock is ahead, and by how much that may be
// wrong; good only while Epoch is not 0.
func (o *Offset) Ahead() (by, give time.Duration) { return o.best.offset, o.best.roundTrip / 2 }

// Local converts the scheduler's time to local time. 0 and Never, which name
// no instant, stay what they are.
func (o *Offset) Local(t protocol.Time) protocol.Time {
	if t == 0 || t == protocol.Never {
		return t
	}
	return t.Add(-o.best.offset)
}

// Remote converts local time to the scheduler's.
func (o *Offset) Remote(t protocol.Time) protocol.Time {
	if t == 0 || t == protocol.Never {
		return t
	}
	return t.Add(o.best.offset)
}
