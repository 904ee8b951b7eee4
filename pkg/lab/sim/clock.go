package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// hostClock is a worker's clock. The worker's core estimates the scheduler's
// clock.
type hostClock struct {
	offset time.Duration
	drift  float64

	pace   clocksync.Pace
	query  func() // asks for the scheduler's time, and again by the pace
	asking int    // how many queries were due at once; those that wait for their time end then
}

// maxClockError bounds the worker's error about the scheduler's time on network
// n: the clock drifts, and the last answered query may be some time ago.
func (c *hostClock) maxClockError(n Network) time.Duration {
	return time.Millisecond + 4*(n.Base+n.Jitter) + time.Duration(math.Abs(c.drift)*float64(10*time.Second))
}

// local returns the clock's reading at t.
func (c *hostClock) local(t protocol.Time) protocol.Time {
	return t.Add(c.offset + time.Duration(c.drift*float64(t)))
}

// span returns how long the clock takes to advance by d, rounded up.
func (c *hostClock) span(d time.Duration) time.Duration {
	return time.Duration(float64(d)/(1+c.drift)) + 1
}

// clockWrong returns the worker's current error about the scheduler's time.
func (h *host) clockWrong() time.Duration {
	return h.Core.Remote(h.clock.local(h.world.now)).Sub(h.world.now).Abs()
}

// startClock gives a worker a clock of its own and starts its queries of the
// scheduler's time.
func (h *host) startClock(faults Faults, draw, readings *rand.Rand) {
	every := h.world.config.pace.clock
	h.clock = &hostClock{offset: between(draw, 0, faults.Offset), drift: faults.Drift * (2*draw.Float64() - 1), pace: clocksync.Pace{Every: every}}
	there := networkModel{h.world.config.Network, readings}
	h.clock.query = func() {
		if h.world.started() && !h.silent() && !(h.world.over() && h.world.together()) {
			h.askTime(&there)
		}
		asking := h.clock.asking
		h.world.background(h.clock.pace.Next(h.world.now, h.Core.InFlight() == 0 && h.Core.ClockEpoch() != 0), func() {
			if asking == h.clock.asking {
				h.clock.query()
			}
		})
	}
	h.world.background(between(readings, 0, every), h.clock.query)
}

// wakeClock queries the scheduler's time at once where that is done rarely, because there is
// work that needs it.
func (h *host) wakeClock() {
	if h.clock != nil && h.clock.pace.Work(h.world.now) {
		h.clock.asking++
		h.clock.query()
	}
}

// clockEpoch is that of the scheduler which says the time: the first answer counts where
// two lead. 0: none does.
func (s *world) clockEpoch(there *networkModel) uint64 {
	var awake []uint64
	s.schedulers(func(x *scheduler) {
		if !x.silent() {
			awake = append(awake, x.epoch)
		}
	})
	switch len(awake) {
	case 0:
		return 0
	case 1:
		return awake[0]
	}
	return awake[there.rng.IntN(len(awake))]
}

// askTime sends one query of the scheduler's time and the answer.
func (h *host) askTime(there *networkModel) {
	s, asked, life := h.world, h.clock.local(h.world.now), h.Incarnation()
	s.sendCall(h, there.delay(), func() {
		remote, epoch := s.now, s.clockEpoch(there)
		if epoch == 0 {
			return
		}
		s.sendCall(h, there.delay(), func() {
			if h.silent() || h.Incarnation() != life {
				return
			}
			known := h.Core.ClockEpoch()
			h.Step(&work.ClockReading{Epoch: epoch, Asked: asked, Answered: h.clock.local(s.now), Remote: remote})
			if h.Core.ClockEpoch() != known {
				h.wakeClock()
			}
		})
	})
}
