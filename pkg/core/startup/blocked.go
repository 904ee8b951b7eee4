package startup

import (
	"fmt"

	"clockwork/pkg/protocol"
)

// A stage goes on only with others: workers that answer, a profiler, a scheduler. Whoever
// waits for the stack is told which of them is missing, and the log is told when that lasts.

// blocked is what is missing at present, "" for nothing, since when, and whether it was told.
// open: something was told, and not that it is there.
type blocked struct {
	why        string
	since      protocol.Time
	told, open bool
}

// silence is how long nothing may be heard of a profiler or a scheduler that is there: twice
// the time after which others count it as lost, so that no takeover looks like an absence.
const silence = 2 * protocol.HeartbeatLost

// Profiler returns what is heard of the profilers: active, standby or absent.
func (m *Machine) Profiler(now protocol.Time) protocol.ServiceState {
	p := &m.profiling
	switch {
	case p.profiler != 0 && now.Sub(p.heard) < silence:
		return protocol.ProfilerActive
	case p.standby && now.Sub(p.standbyHeard) < silence:
		return protocol.Standby
	}
	return protocol.ServiceAbsent
}

// Blocked returns what the stack cannot go on without, and what to do about it; "" if nothing
// is missing. In ACTIVE requests may be served all the same.
func (m *Machine) Blocked(now protocol.Time) string {
	switch {
	case !m.started || m.down:
		return ""
	case m.stage < protocol.Active && !m.anyAnswered():
		if len(m.workers) == 0 {
			return "no worker is connected; start one with clockwork worker"
		}
		return "no worker answers"
	case m.stage == protocol.Loading || m.stage == protocol.Profiling:
		if why := m.nothingHeld(); why != "" {
			return why
		}
	case m.stage == protocol.Active && now.Sub(m.activation.seen) >= silence:
		return "no scheduler is active; start one with clockwork scheduler"
	}
	return m.unprofilable(now)
}

// anyAnswered reports whether a worker has answered.
func (m *Machine) anyAnswered() bool {
	for _, w := range m.workers {
		if w.answered {
			return true
		}
	}
	return false
}

// nothingHeld returns why loading cannot close and nothing can be measured, although models
// were loaded and nothing is being loaded: no worker could load any of them again.
func (m *Machine) nothingHeld() string {
	if len(m.models) == 0 || m.querying || m.loading() {
		return ""
	}
	var first *worker
	for _, w := range m.sorted() {
		switch {
		case !w.answered:
			continue
		case !w.ready() || len(w.lacks) < len(m.models):
			return ""
		case first == nil:
			first = w
		}
	}
	if first == nil {
		return ""
	}
	name := m.modelNames()[0]
	why := first.lacks[name]
	return fmt.Sprintf("no worker could load any of the models; %s on %s: %s: %s", name, first.id, why.Code, why.Message)
}

// unprofilable returns why what has to be measured is not.
func (m *Machine) unprofilable(now protocol.Time) string {
	p := &m.profiling
	if m.stage != protocol.Profiling && !p.running {
		return ""
	}
	if state := m.Profiler(now); state != protocol.ProfilerActive && now.Sub(p.heard) >= silence {
		if state == protocol.Standby {
			return "no profiler is active; one stands by, and takes over in about 2 s"
		}
		return "no profiler is connected; start one with clockwork profiler"
	}
	if len(m.models) > 0 && m.stage == protocol.Profiling && len(m.quarantined) == len(m.models) {
		name := m.modelNames()[0]
		return fmt.Sprintf("no model can be served; %s: %s; all are measured again", name, m.quarantined[name])
	}
	return ""
}

// tellBlocked outputs an event when something has been missing for BlockedAfter, and one when
// it is there.
func (m *Machine) tellBlocked() {
	b := &m.blocked
	if why := m.Blocked(m.now); why != b.why {
		if b.open && why == "" {
			b.open = false
			m.event(protocol.Event{Kind: protocol.EventBlocked, Stage: m.stage.String()})
		}
		b.why, b.since, b.told = why, m.now, false
	}
	if b.why != "" && !b.told && m.now >= b.since.Add(m.cfg.BlockedAfter) {
		b.told, b.open = true, true
		m.event(protocol.Event{Kind: protocol.EventBlocked, Stage: m.stage.String(), Message: b.why})
	}
}

// wakeBlocked returns when something begins to be missing because nothing was heard of it, or
// is told.
func (m *Machine) wakeBlocked() protocol.Time {
	at := protocol.Never
	switch b := &m.blocked; {
	case !m.started:
	case b.why != "" && !b.told:
		at = b.since.Add(m.cfg.BlockedAfter)
	case b.why != "":
	default:
		if m.stage == protocol.Profiling || m.profiling.running {
			at = m.profiling.heard.Add(silence)
		}
		if m.stage == protocol.Active {
			at = min(at, m.activation.seen.Add(silence))
		}
	}
	if at <= m.now {
		return protocol.Never
	}
	return at
}
