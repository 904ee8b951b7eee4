package explain

import (
	"maps"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

func sortedKeys(of map[string]time.Duration) []string { return slices.Sorted(maps.Keys(of)) }

// whyRefused finds the cause of a refusal.
func (m *mirror) whyRefused(r *request) Cause {
	switch r.refusal.Code {
	case protocol.Overloaded:
		return Full
	case protocol.WorkerLost:
		return Lost
	case protocol.DeadlineExceeded, protocol.DeadlineUnmeetable:
	case protocol.NoMemory, protocol.ModelTooLarge:
		return NoWorker
	default:
		return Other
	}
	if cause := m.whyFailed(r); cause != None {
		return cause
	}
	return m.whyNever(r)
}

// whyFailed is for a request that was sent to a worker.
func (m *mirror) whyFailed(r *request) Cause {
	if len(r.tries) == 0 {
		return None
	}
	last := r.tries[len(r.tries)-1]
	switch {
	case last.lost, last.code == "":
		return Lost
	case last.code == protocol.InputMissing:
		return Inputs
	case last.code == protocol.TooLate:
		return SlowBefore
	}
	return Other
}

// whyNever is for a request that no worker was sent.
func (m *mirror) whyNever(r *request) Cause {
	v := &r.arrival
	switch {
	case r.Budget <= 0:
		return Overdue
	case v.gpus == 0:
		return NoWorker
	case !m.fits(r, m.idle(v)):
		return Tight
	case v.resident > 0:
		if !m.fits(r, m.held(v)) {
			return LaneBusy
		}
		return Behind
	case v.loading.on != nil && !m.fits(r, v.loading.left+v.exec), v.loading.on == nil && !m.fits(r, m.coldIdle(v)):
		return Cold
	case m.wasLoaded(r):
		return Behind
	}
	return ColdBusy
}

// The times from arrival to end: at an idle GPU with the weights, at the GPU
// that held them, at an idle GPU without them, and as the lanes stood.
func (m *mirror) idle(v *view) time.Duration { return m.config.Future + v.exec }

func (m *mirror) held(v *view) time.Duration { return max(v.lane.left, m.config.Future) + v.exec }

func (m *mirror) coldIdle(v *view) time.Duration { return m.config.Future + v.load + v.exec }

func (m *mirror) coldBusy(v *view) time.Duration {
	if v.loading.on != nil {
		return max(v.loading.left, m.config.Future) + v.exec
	}
	return max(v.transfer.left, m.config.Future) + v.load + v.exec
}

// cameTo is the load that first brought the weights after a request's arrival,
// nil for none.
func (m *mirror) cameTo(r *request) (first *action) {
	for _, a := range r.model.came {
		if a.end >= r.arrived && (first == nil || a.end < first.end) {
			first = a
		}
	}
	return first
}

// wasLoaded: some GPU got the weights in time for an execution.
func (m *mirror) wasLoaded(r *request) bool {
	a := m.cameTo(r)
	return a != nil && m.fits(r, a.end.Sub(r.arrived)+r.arrival.exec)
}

// whyLate is for a request whose action ended after its deadline.
func (m *mirror) whyLate(r *request, a *action) Cause {
	if a.begin.Add(a.expected) <= r.deadline {
		return Slow
	}
	return SlowBefore
}
