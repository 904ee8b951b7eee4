package frontdoor

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// connection is a front door's connection to the broker.
type connection struct {
	connected  bool // as the broker sees it
	session    int
	reconnects int
	clientUp   bool // as the client library sees it
	reported   struct {
		reconnects int
		down       bool
	} // to the machine
	out, in simtime.Connection
}

// checkConnection reports to the machine that the connection is down, or was broken.
func (d *frontDoor) mindConnection() {
	switch {
	case !d.clientUp && !d.reported.down:
		d.reported.down = true
		d.step(&ConnectionDown{})
	case d.clientUp && (d.reported.down || d.reported.reconnects != d.reconnects):
		d.reported.down, d.reported.reconnects = false, d.reconnects
		d.step(&ConnectionBroke{})
	}
}

// say publishes to every scheduler, in order. Messages in transit are lost when the
// connection breaks.
func (d *frontDoor) say(e sched.TermEvent) {
	d.send(func() {
		for _, s := range d.w.schedulers {
			s.hear(e)
		}
	}, func() {})
}

func (d *frontDoor) send(arrives, lost func()) {
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

// reply answers a client, on the broker or on its own connection.
func (d *frontDoor) reply(c *client, code protocol.Code) {
	answered := func() { d.w.answered(c.inbox, d.id, code) }
	if c.in.Direct {
		d.w.After(d.w.Delay(), answered)
		return
	}
	d.send(answered, func() { c.excuse("its answer was lost with a connection") })
}

// deliver sends a front door a message. What has arrived is processed even if the
// connection breaks then.
func (d *frontDoor) deliver(do func(), got ...func()) {
	session := d.session
	d.in.Send(&d.w.Clock, func() {
		if d.connected && d.session == session {
			for _, also := range got {
				also()
			}
			d.On(do)()
		}
	})
}

// cut breaks the connection. The client library may notice it before it reconnects.
func (d *frontDoor) cut() {
	if !d.connected {
		return
	}
	w := d.w
	w.count("cut")
	d.connected = false
	d.session++
	session := d.session
	w.After(w.UpTo(300*time.Millisecond), d.On(func() { d.clientUp = d.clientUp && d.session != session }))
	again := w.UpTo(1300 * time.Millisecond)
	if w.oneIn(3) {
		again = w.UpTo(150 * time.Millisecond)
	}
	if w.oneIn(4) { // often the broker is the cause, and hits others too
		w.lease.holder.crash()
	}
	life := d.Incarnation
	w.After(again, func() {
		if d.Incarnation == life {
			d.connected, d.clientUp = true, true
			d.session++
			d.reconnects++
			w.stream.resume(d)
			if w.faulty() && !d.closing && w.oneIn(8) {
				d.close()
			}
		}
	})
}
