package sched

import (
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/testkit/simtime"
)

// link is a front door's connection to the broker.
type link struct {
	connected  bool // as the broker sees it
	noticed    bool // the client library sees it so, too
	session    int
	reconnects int
	told       struct {
		reconnects int
		down       bool
	} // to the core
	out, in simtime.Connection
}

// mindLink tells the core that the connection is down, or was.
func (d *wDoor) mindLink() {
	switch {
	case !d.noticed && !d.told.down:
		d.told.down = true
		d.step(&frontdoor.ConnectionDown{})
	case d.noticed && (d.told.down || d.told.reconnects != d.reconnects):
		d.told.down, d.told.reconnects = false, d.reconnects
		d.step(&frontdoor.ConnectionBroke{})
	}
}

// send sends something on the connection, in order. What is under way when it breaks is lost.
func (d *wDoor) send(arrives, lost func()) {
	if !d.connected {
		lost()
		return
	}
	session := d.session
	d.out.Send(&d.w.Clock, func() {
		if d.session == session {
			arrives()
		} else {
			lost()
		}
	})
}

// say publishes to every scheduler.
func (d *wDoor) say(e TermEvent) {
	d.send(func() {
		for _, s := range d.w.schedulers {
			s.hear(e)
		}
	}, func() {})
}

// reply answers a client. The claim may have arrived just before a connection broke.
func (d *wDoor) reply(r *wRequest) {
	d.send(func() { d.w.answered(r.inbox) }, func() { r.excused = true })
}

// toDoor delivers something to a front door, if it is connected.
func (d *wDoor) toDoor(do func(d *wDoor)) {
	session := d.session
	if d.w.faulty() && d.w.chance(0.01) {
		return
	}
	d.in.Send(&d.w.Clock, func() {
		if d.connected && d.session == session {
			d.On(func() { do(d) })()
		}
	})
}

// cut breaks the connection; it is made again after a while. The client library may notice
// that before.
func (d *wDoor) cut() {
	w := d.w
	if !d.connected {
		return
	}
	d.connected = false
	d.session++
	session := d.session
	w.After(w.UpTo(300*time.Millisecond), d.On(func() { d.noticed = d.noticed && d.session != session }))
	incarnation := d.Incarnation
	w.After(w.UpTo(1300*time.Millisecond), func() {
		if d.Incarnation == incarnation {
			d.connected, d.noticed = true, true
			d.session++
			d.reconnects++
			d.On(d.beat)()
		}
	})
}
