package watch

import (
	"sync/atomic"
	"time"
)

// Period is an interval that begins with an event and ends after a fixed time. While
// there are no events there is no period and no timer runs.
type Period struct {
	length time.Duration
	ended  func(began, now time.Time)

	begun atomic.Bool
	first chan time.Time // capacity one: begun becomes true once before a value is taken
	soon  chan struct{}
	stop  chan struct{}
	done  chan struct{}
}

// NewPeriod starts a goroutine that waits for events; ended is called with each period,
// from that goroutine. Close stops it.
func NewPeriod(length time.Duration, ended func(began, now time.Time)) *Period {
	p := &Period{
		length: length, ended: ended,
		first: make(chan time.Time, 1), soon: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go p.run()
	return p
}

// Begin reports an event. It does not block.
func (p *Period) Begin() {
	if !p.begun.Load() && p.begun.CompareAndSwap(false, true) {
		p.first <- time.Now()
	}
}

// Begun reports whether an event has occurred whose period has not ended yet.
func (p *Period) Begun() bool { return p.begun.Load() }

// Hurry ends the period at once.
func (p *Period) Hurry() {
	select {
	case p.soon <- struct{}{}:
	default:
	}
}

// Close ends the current period, if any, and stops the goroutine.
func (p *Period) Close() {
	close(p.stop)
	<-p.done
}

func (p *Period) run() {
	defer close(p.done)
	timer := time.NewTimer(p.length)
	defer timer.Stop()
	for stopped := false; !stopped; {
		var began time.Time
		select {
		case began = <-p.first:
		case <-p.stop:
			select {
			case began = <-p.first:
			default:
				return
			}
		}
		timer.Reset(p.length)
		select {
		case <-timer.C:
		case <-p.soon:
		case <-p.stop:
			stopped = true
		}
		p.begun.Store(false)
		p.ended(began, time.Now())
	}
}
