package frontdoor

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// mindConnection reports to the machine that the connection is down, or was broken.
func (d *frontDoor) mindConnection() {
	up, breaks := d.Seen()
	if now := (Connection{Up: up, Breaks: breaks}); now != d.m.Connection() {
		d.step(&now)
	}
}

// say publishes to every scheduler, in order. Messages in transit are lost when the
// connection breaks.
func (d *frontDoor) say(e sched.TermEvent) {
	d.Publish(&d.w.Clock, func() {
		for _, s := range d.w.schedulers {
			s.hear(e)
		}
	}, func() {})
}

// reply answers a client, on the broker or on its own connection.
func (d *frontDoor) reply(c *client, code protocol.Code) {
	answered := func() { d.w.answered(c.inbox, d.id, code) }
	if c.in.Direct {
		d.w.After(d.w.Delay(), answered)
		return
	}
	d.Publish(&d.w.Clock, answered, func() { c.excuse("its answer was lost with a connection") })
}

// deliver sends a front door a message. What has arrived is processed even if the
// connection breaks then.
func (d *frontDoor) deliver(do func(), got ...func()) {
	d.Receive(&d.w.Clock, func() {
		for _, also := range got {
			also()
		}
		d.On(do)()
	})
}

// cut breaks the connection. The client library may notice it before it reconnects.
func (d *frontDoor) cut() {
	if !d.Connected {
		return
	}
	w := d.w
	w.count("cut")
	d.Break(&d.Process)
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
			d.Restore()
			w.stream.resume(d)
			if w.faulty() && !d.closing && w.oneIn(8) {
				d.close()
			}
		}
	})
}
