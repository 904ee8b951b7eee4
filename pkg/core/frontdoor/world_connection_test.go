package frontdoor

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// connection is a front door's, as the broker has it and as its client library sees it.
type connection struct {
	connected  bool // the broker has it
	session    int
	reconnects int
	sees       bool // the client library takes it for whole
	knows      struct {
		reconnects int
		down       bool
	} // what the machine was told
	out, in fifo
}

// mindConnection tells the machine if the connection is lost, or was lost meanwhile.
func (d *door) mindConnection() {
	switch {
	case !d.sees && !d.knows.down:
		d.knows.down = true
		d.step(&ConnectionDown{})
	case d.sees && (d.knows.down || d.knows.reconnects != d.reconnects):
		d.knows.down, d.knows.reconnects = false, d.reconnects
		d.step(&ConnectionBroke{})
	}
}

// say publishes on the front door's connection; every scheduler hears it in order. What
// is under way when the connection breaks is lost.
func (d *door) say(e sched.TermEvent) {
	d.send(func() {
		for _, s := range d.w.schedulers {
			s.hear(e)
		}
	}, func() {})
}

func (d *door) send(arrives, lost func()) {
	if !d.connected {
		lost()
		return
	}
	session := d.session
	d.out.send(d.w, func() {
		if d.session == session {
			arrives()
		} else {
			lost()
		}
	})
}

func (d *door) reply(inbox string, code protocol.Code) {
	d.send(func() { d.w.answered(inbox, d.id, code) }, func() { d.w.clients[inbox].excuse("its answer was lost with a connection") })
}

// toDoor delivers something that the broker has for a front door, if it can. What the
// process has got it reads, whatever becomes of the connection.
func (d *door) toDoor(do func(), got ...func()) {
	session := d.session
	d.in.send(d.w, func() {
		if d.connected && d.session == session {
			for _, also := range got {
				also()
			}
			d.on(do)()
		}
	})
}

// cut breaks the connection, which the front door may notice before it is made again.
func (d *door) cut() {
	if !d.connected {
		return
	}
	w := d.w
	w.happens("cut")
	d.connected = false
	d.session++
	session := d.session
	w.after(w.upTo(300*time.Millisecond), d.on(func() { d.sees = d.sees && d.session != session }))
	again := w.upTo(1300 * time.Millisecond)
	if w.one(3) {
		again = w.upTo(150 * time.Millisecond)
	}
	if w.one(4) { // often it is the broker's fault, and others have theirs
		w.lease.holder.die()
	}
	life := d.life
	w.after(again, func() {
		if d.life == life {
			d.connected, d.sees = true, true
			d.session++
			d.reconnects++
			w.stream.goOn(d)
			if w.faulty() && !d.closing && w.one(8) {
				d.close()
			}
		}
	})
}
