package work

import (
	"slices"

	"clockwork/pkg/protocol"
)

// overdues are the orders that execute or transfer.
type overdues map[*Order]*hung

type hung struct {
	since protocol.Time
	told  bool // it was output as overdue
}

// overdue looks whether an order is output as overdue when it is, neither sooner nor later,
// and once.
func (c *checker) overdue(out *Output) {
	for _, o := range slices.Concat(out.Execute, out.Transfer) {
		c.hung[o] = &hung{since: c.now}
	}
	for _, o := range out.Overdue {
		switch h := c.hung[o]; {
		case h == nil || h.told:
			c.failf("action %v is overdue twice, or has ended", o.key())
		case c.now < h.due(c, o):
			c.failf("action %v is overdue after %v, expected in %v", o.key(), c.now.Sub(h.since), o.Action.Expected)
		default:
			h.told = true
		}
	}
	for o, h := range c.hung {
		if !h.told && c.now > h.due(c, o) {
			c.failf("action %v is not overdue after %v, expected in %v", o.key(), c.now.Sub(h.since), o.Action.Expected)
		}
	}
}

// due is when an order is overdue, by the words of Config.Overdue.
func (h *hung) due(c *checker, o *Order) protocol.Time {
	rule := &c.config.Overdue
	if o.Action.Expected <= 0 {
		return h.since.Add(rule.Unmeasured)
	}
	return h.since.Add(rule.Floor + o.Action.Expected*10)
}

// alarms looks whether the worker wakes in time for whatever may hang or be given up, even if
// nothing else happens.
func (c *checker) alarms() {
	for o, h := range c.hung {
		if due := h.due(c, o); !h.told && due < c.wake {
			c.failf("action %v is overdue at %v, and the worker wakes at %v", o.key(), due, c.wake)
		}
	}
	for i := range c.gpus {
		if due := c.gpus[i].start.due(c); due < c.wake {
			c.failf("a start on GPU %d hangs at %v, and the worker wakes at %v", i, due, c.wake)
		}
	}
	if due := c.renewalDue(); due < c.wake {
		c.failf("it begins anew at %v, and the worker wakes at %v", due, c.wake)
	}
	for o, told := range c.readers {
		if due := c.due(c.of(o)); !told && due < c.wake {
			c.failf("the load %v is given up at %v, and the worker wakes at %v", o.key(), due, c.wake)
		}
	}
	if due := c.readerDue(); due < c.wake {
		c.failf("a load can be read from %v on, and the worker wakes at %v", due, c.wake)
	}
}
