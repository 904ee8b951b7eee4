package simtime

import (
	"time"

	"clockwork/pkg/protocol"
)

// Process may pause, and may crash and start again. What reaches it while it is paused
// waits; what was meant for an earlier incarnation is lost.
type Process struct {
	Clock       *Clock
	Incarnation int // one more after each crash
	PausedUntil protocol.Time
}

// On returns do for this incarnation: called while the process is paused, it waits.
func (p *Process) On(do func()) func() {
	incarnation := p.Incarnation
	var attempt func()
	attempt = func() {
		switch {
		case p.Incarnation != incarnation:
		case p.PausedUntil > p.Clock.Now:
			p.Clock.After(p.PausedUntil.Sub(p.Clock.Now), attempt)
		default:
			do()
		}
	}
	return attempt
}

// Each calls do every d in this incarnation, first after a random part of d.
func (p *Process) Each(d time.Duration, do func()) {
	incarnation := p.Incarnation
	var next func()
	next = p.On(func() {
		do()
		if p.Incarnation == incarnation {
			p.Clock.After(d, next)
		}
	})
	p.Clock.After(p.Clock.UpTo(d), next)
}

// Connection delivers what is sent on it in order.
type Connection struct{ last protocol.Time }

// Send calls deliver after a delay, and after what was sent before.
func (c *Connection) Send(clock *Clock, deliver func()) {
	c.last = max(c.last, clock.Now.Add(clock.Delay()))
	clock.After(c.last.Sub(clock.Now), deliver)
}
