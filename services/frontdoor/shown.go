package frontdoor

import (
	"sync"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/livestats"
)

// Capacity is what the active scheduler says that it has.
func (d *FrontDoor) Capacity() protocol.Capacity { return d.snapshot().Capacity }

// Live returns the statistics of this front door's last seconds.
func (d *FrontDoor) Live(now time.Time) protocol.LiveStats { return d.live.shown.read(d.live, now) }

// shownFor is for how long statistics are collected after they were read.
const shownFor = 10 * time.Second

// shown are the statistics for who reads them in this process. They are collected while
// somebody does: the first reading is of nothing.
type shown struct {
	stats *livestats.FrontDoor

	mu      sync.Mutex
	forget  *time.Timer // ends the collection; nil while there is none
	stopped bool
}

func (s *shown) read(l *live, now time.Time) protocol.LiveStats {
	s.mu.Lock()
	switch {
	case s.stopped:
	case s.forget == nil:
		s.stats.Watch(true, now)
		s.forget = time.AfterFunc(shownFor, s.end)
	default:
		s.forget.Reset(shownFor)
	}
	s.mu.Unlock()
	return l.fill(s.stats.LiveStats(now))
}

// end ends the collection.
func (s *shown) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forget != nil {
		s.forget.Stop()
		s.forget = nil
		s.stats.Watch(false, time.Now())
	}
}

// stop ends the collection for good.
func (s *shown) stop() {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}
