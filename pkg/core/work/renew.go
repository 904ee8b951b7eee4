package work

import (
	"clockwork/pkg/protocol"
)

// A worker that a scheduler uses cannot be measured: two would order loads and executions on one
// GPU. So a controller that needs measurements of it has it begin anew, as if its process had
// ended and started, except that its models stay in host memory. It says that it stops, takes
// nothing more, ends what it has, and stays a moment so, for its scheduler to let it go. Then it
// is another incarnation, which obeys no scheduler, until one has it join.

// renewal is a worker's way to its next incarnation.
type renewal struct {
	asked bool
	// at is when it begins anew, Never while it has something to do.
	at protocol.Time
}

// renewQuiet is how long a worker without work says that it stops before it begins anew: some
// heartbeats, of which each may get lost.
const renewQuiet = 5 * protocol.HeartbeatEvery

// beginRenewal takes the order to begin anew. It is answered at once: its issuer sees the other
// incarnation.
func (w *Worker) beginRenewal(o *Order) *protocol.Error {
	if o.Action.Incarnation == 0 {
		return protocol.Errorf(protocol.InvalidAction, "it names no incarnation that is to end")
	}
	w.renewal = renewal{asked: true, at: protocol.Never}
	w.answer(o, nil)
	return nil
}

// leaves reports whether the worker takes nothing more.
func (w *Worker) leaves() bool { return w.stopping || w.renewal.asked }

// renew begins anew once that is due. A worker that stops does not any more.
func (w *Worker) renew() {
	r := &w.renewal
	switch {
	case !r.asked || w.stopping:
		return
	case w.inFlight > 0:
		r.at = protocol.Never
		return
	case r.at == protocol.Never:
		r.at = w.now.Add(renewQuiet)
	}
	if w.now < r.at {
		w.out.Wake = min(w.out.Wake, r.at)
		return
	}
	w.config.Incarnation++
	w.epoch, w.renewal, w.out.Renewed = 0, renewal{}, true
}

// Incarnation is the worker's present one.
func (w *Worker) Incarnation() uint64 { return w.config.Incarnation }
