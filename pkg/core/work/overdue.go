package work

import (
	"time"

	"clockwork/pkg/protocol"
)

// Overdue says from when on an execution or a transfer that has not ended counts as hung:
// Floor plus Factor times the duration that its issuer expected, or Unmeasured if that is
// unknown, as for measurements. The zero value never counts anything as hung.
type Overdue struct {
	Factor            float64
	Floor, Unmeasured time.Duration
}

// DefaultOverdue is for workers whose executors can be ended.
func DefaultOverdue() Overdue {
	return Overdue{Factor: 10, Floor: time.Second, Unmeasured: 25 * time.Second}
}

// After returns how long an execution or a transfer may take, 0 for any time.
func (d Overdue) After(expected time.Duration) time.Duration {
	switch {
	case d == Overdue{}:
		return 0
	case expected <= 0:
		return d.Unmeasured
	}
	return d.Floor + min(time.Duration(d.Factor*float64(expected)), maxAfter)
}

// maxAfter keeps sums of times in range.
const maxAfter = 24 * time.Hour

// stoodStill is how late a step may come that finds an order overdue: a worker that itself
// stood still for longer may not yet have been told that the order ended.
const stoodStill = 100 * time.Millisecond

// expect sets when an order that begins counts as hung.
func (g *gpu) expect(o *Order) {
	o.due = protocol.Never
	if after := g.worker.config.Overdue.After(o.Action.Expected); after > 0 {
		o.due = g.worker.now.Add(after)
	}
	g.worker.out.Wake = min(g.worker.out.Wake, o.due)
}

// overdue outputs the orders of the GPU that count as hung, each once. If this worker
// stood still, an order gets the Floor once more.
func (g *gpu) overdue() {
	w := g.worker
	for _, o := range []*Order{g.orders[g.executions.Running()], g.orders[g.transfers.Running()]} {
		switch {
		case o == nil || o.due == protocol.Never:
			continue
		case o.due > w.now:
		case w.now.Sub(o.due) > stoodStill && !o.spared:
			o.due, o.spared = w.now.Add(w.config.Overdue.Floor), true
		default:
			o.due = protocol.Never
			w.out.Overdue = append(w.out.Overdue, o)
		}
		w.out.Wake = min(w.out.Wake, o.due)
	}
}
