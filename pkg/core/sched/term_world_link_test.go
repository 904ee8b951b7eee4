package sched

import (
	"time"

	"clockwork/pkg/core/frontdoor"
)

// mindLink tells the core that the connection is down, or was.
func (d *wDoor) mindLink() {
	up, breaks := d.Seen()
	if now := (frontdoor.Connection{Up: up, Breaks: breaks}); now != d.core.Connection() {
		d.step(&now)
	}
}

// say publishes to every scheduler.
func (d *wDoor) say(e TermEvent) {
	d.Publish(&d.w.Clock, func() {
		for _, s := range d.w.schedulers {
			s.hear(e)
		}
	}, func() {})
}

// reply answers a client. The claim may have arrived just before a connection broke.
func (d *wDoor) reply(r *wRequest) {
	d.Publish(&d.w.Clock, func() { d.w.answered(r.inbox) }, func() { r.excused = true })
}

// toDoor delivers something to a front door, if it is connected.
func (d *wDoor) toDoor(do func(d *wDoor)) {
	if d.w.faulty() && d.w.chance(0.01) {
		return
	}
	d.Receive(&d.w.Clock, func() { d.On(func() { do(d) })() })
}

// cut breaks the connection; it is made again after a while. The client library may notice
// that before.
func (d *wDoor) cut() {
	w := d.w
	if !d.Connected {
		return
	}
	d.Break(&d.Process)
	incarnation := d.Incarnation
	w.After(w.UpTo(1300*time.Millisecond), func() {
		if d.Incarnation == incarnation {
			d.Restore()
			d.On(d.beat)()
		}
	})
}
