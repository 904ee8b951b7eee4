package work

import (
	"time"

	"clockwork/pkg/protocol"
)

// renewalDue is when a worker that was told so begins anew: half a second after its last action.
func (c *checker) renewalDue() protocol.Time {
	if !c.renewing || c.stopping || c.idle == protocol.Never {
		return protocol.Never
	}
	return c.idle.Add(500 * time.Millisecond)
}

// renews looks whether a worker begins anew when it should. Then it is another incarnation,
// and obeys nobody.
func (c *checker) renews(out *Output) {
	switch {
	case c.open > 0:
		c.idle = protocol.Never
	case c.idle == protocol.Never:
		c.idle = c.now
	}
	if due := c.renewalDue(); out.Renewed && c.now < due {
		c.failf("it begins anew, and should at %v", due)
	} else if !out.Renewed {
		if c.now > due {
			c.failf("it does not begin anew at %v", due)
		}
		return
	}
	c.happened["renewed"]++
	c.renewing, c.epoch = false, 0
	c.renew()
	if c.worker.Incarnation() != c.config.Incarnation {
		c.failf("it is incarnation %d, expected %d", c.worker.Incarnation(), c.config.Incarnation)
	}
}

// renew gives the worker another incarnation. Its driver is the same, and owes what it owed.
func (w *world) renew() {
	was := w.config.Incarnation
	w.config.Incarnation++
	for i := range w.coming {
		if w.coming[i].driver == was {
			w.coming[i].driver = w.config.Incarnation
		}
	}
}
