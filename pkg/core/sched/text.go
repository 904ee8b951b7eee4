package sched

import (
	"fmt"
	"strings"
)

// String shows each GPU's pages, copies and outstanding work, then the queues.
func (c *engine) String() string {
	var b strings.Builder
	s := c.Stats()
	fmt.Fprintf(&b, "%v epoch %d: %d queued, %d in flight\n", c.now, c.epoch, s.Queued, s.InFlight)
	for _, g := range c.gpus {
		fmt.Fprintf(&b, "%s#%d gpu %d %s: %d+%d of %d pages", g.worker.id, g.worker.incarnation, g.id, c.kinds[g.kind].name, g.allocated, g.promised, g.total)
		if g.foreign > 0 {
			fmt.Fprintf(&b, ", %d foreign", g.foreign)
		}
		b.WriteByte('\n')
		for _, r := range g.replicas {
			fmt.Fprintf(&b, "  %s %s, %d pages, %d busy\n", r.model.spec.Name, phaseNames[r.phase], r.pages(), r.busy)
		}
		for _, a := range g.infers {
			fmt.Fprintf(&b, "  |%v| %s action %d, latest %v\n", a.expected, a.replica.model.spec.Name, a.id%(1<<epochShift), a.latest)
		}
	}
	for _, m := range c.models {
		if m.head != nil {
			fmt.Fprintf(&b, "queue %s: %d, head %d:%d until %v\n", m.spec.Name, m.queued, m.head.ID.Door, m.head.ID.Seq, m.head.deadline)
		}
	}
	return b.String()
}
