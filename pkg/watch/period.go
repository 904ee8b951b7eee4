package watch

import (
	"sync/atomic"
	"time"
)

// Period is a stretch of time that begins with an event and ends a while later. While
// nothing happens there is none, and nobody wakes.
type Period struct {
	length time.Duration
	ended  func(began, now time.Time)

	begun atomic.Bool
	first chan time.Time // room for one: begun becomes true once before it is taken
	soon  chan struct{}
	stop  chan struct{}
	done  chan struct{}
}

// NewPeriod starts to wait for events; ended is called with each period, from one
// goroutine at a time. Close ends the waiting.
func NewPeriod(length time.Duration, ended func(began, now time.Time)) *Period {
	p := &Period{
		length: length, ended: ended,
		first: make(chan time.Time, 1), soon: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go p.run()
	return p
}

// Begin says that something happened. It blocks on nothing.
func (p *Period) Begin() {
	if !p.begun.Load() && p.begun.CompareAndSwap(false, true) {
		p.first <- time.Now()
	}
}

// Begun reports whether something happened for which no period has ended yet.
func (p *Period) Begun() bool { return p.begun.Load() }

// Hurry ends the period at once.
func (p *Period) Hurry() {
	select {
	case p.soon <- struct{}{}:
	default:
	}
}

// Close ends the period that has begun, if any, and the waiting for more.
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
