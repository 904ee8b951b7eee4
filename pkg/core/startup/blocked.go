package startup

import (
	"fmt"

	"clockwork/pkg/protocol"
)

// A stage goes on only with others, and requests are served only with some of them: workers
// that answer, a profiler, a scheduler, a front door. Whoever looks is told which of them is
// missing, and the log is told when that lasts.

// blocked is what is missing at present, "" for nothing, since when, and whether it was told.
// open: something was told, and not that it is there.
type blocked struct {
	why        string
	since      protocol.Time
	told, open bool
}

// roster is the services of a kind that are there, by id, at most MaxWorkers, and the last time
// at which there was one, at first that of Started; valid while there is none.
type roster struct {
	there map[string]bool
	last  protocol.Time
}

func newRosters() map[protocol.ServiceKind]*roster {
	rosters := map[protocol.ServiceKind]*roster{}
	for _, kind := range []protocol.ServiceKind{protocol.Profiler, protocol.Scheduler, protocol.FrontDoor, protocol.Gateway} {
		rosters[kind] = &roster{there: map[string]bool{}}
	}
	return rosters
}

// absent reports whether there is none, and was none for some time: one may be about to come
// when another was lost, and a controller that starts has heard of nobody yet.
func (r *roster) absent(now protocol.Time) bool {
	return len(r.there) == 0 && now.Sub(r.last) >= silence
}

// serviceSeen notes that a service is there, or no more.
func (m *Machine) serviceSeen(e ServiceSeen) {
	r := m.rosters[e.Kind]
	switch {
	case r == nil:
	case !e.There:
		if r.there[e.ID] {
			r.last = m.now
		}
		delete(r.there, e.ID)
	case len(r.there) < m.cfg.MaxWorkers:
		r.there[e.ID] = true
	}
}

// silence is how long nothing may be heard of a profiler or a scheduler that is there: twice
// the time after which others count it as lost, so that no takeover looks like an absence.
const silence = 2 * protocol.HeartbeatLost

// Profiler returns what is heard of the profilers: active, standby or absent.
func (m *Machine) Profiler(now protocol.Time) protocol.ServiceState {
	switch p := &m.profiling; {
	case m.rosters[protocol.Profiler].absent(now):
		return protocol.ServiceAbsent
	case p.profiler != 0 && now.Sub(p.heard) < silence:
		return protocol.ProfilerActive
	}
	return protocol.Standby
}

// isThere reports whether there is a service of a kind. A gateway stands in for a front door,
// and the other way round.
func (m *Machine) isThere(kind protocol.ServiceKind) bool {
	either := kind == protocol.FrontDoor || kind == protocol.Gateway
	return len(m.rosters[kind].there) > 0 || either && len(m.rosters[protocol.FrontDoor].there)+len(m.rosters[protocol.Gateway].there) > 0
}

// FrontDoor returns whether a front door takes requests from clients: open, over HTTP alone,
// or absent. While none was heard of for a moment only, it is as it was.
func (m *Machine) FrontDoor(now protocol.Time) protocol.ServiceState {
	broker, gateways := m.rosters[protocol.FrontDoor], m.rosters[protocol.Gateway]
	switch {
	case len(broker.there) > 0, !m.isThere(protocol.Gateway) && !broker.absent(now):
		return protocol.FrontDoorOpen
	case !gateways.absent(now):
		return protocol.FrontDoorGateway
	}
	return protocol.ServiceAbsent
}

// Blocked returns what the stack cannot go on or serve without, and what to do about it; ""
// if nothing is missing. In ACTIVE requests may be served all the same.
func (m *Machine) Blocked(now protocol.Time) string {
	if !m.started || m.down {
		return ""
	}
	for _, missing := range []func(protocol.Time) string{m.absent, m.unanswering, m.nothingHeld, m.standsBy, m.unprofilable} {
		if why := missing(now); why != "" {
			return why
		}
	}
	return ""
}

// absent names all kinds of services that are missing, and not there at all.
func (m *Machine) absent(now protocol.Time) string {
	var kinds []protocol.ServiceKind
	for _, of := range []struct {
		kind   protocol.ServiceKind
		absent bool
	}{
		{protocol.Worker, len(m.workers) == 0},
		{protocol.Profiler, (m.stage < protocol.Active || m.measuring()) && m.rosters[protocol.Profiler].absent(now)},
		{protocol.Scheduler, m.rosters[protocol.Scheduler].absent(now)},
		{protocol.FrontDoor, m.FrontDoor(now) == protocol.ServiceAbsent},
	} {
		if of.absent {
			kinds = append(kinds, of.kind)
		}
	}
	return protocol.AbsentText(kinds)
}

// unanswering says that there are workers, and none has answered.
func (m *Machine) unanswering(protocol.Time) string {
	for _, w := range m.workers {
		if w.answered {
			return ""
		}
	}
	return "no worker answers"
}

// nothingHeld returns why loading cannot close and nothing can be measured, although models
// were loaded and nothing is being loaded: no worker could load any of them again.
func (m *Machine) nothingHeld(protocol.Time) string {
	if m.stage != protocol.Loading && m.stage != protocol.Profiling || len(m.models) == 0 || m.querying || m.loading() {
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

// standsBy says that services are there which are needed, and only stand by.
func (m *Machine) standsBy(now protocol.Time) string {
	what := ""
	switch {
	case m.measuring() && now.Sub(m.profiling.heard) >= silence:
		what = "profiler"
	case m.stage == protocol.Active && now.Sub(m.activation.seen) >= silence:
		what = "scheduler"
	default:
		return ""
	}
	return "no " + what + " is active; one stands by, and takes over in about 2 s"
}

// measuring reports whether there is something to measure now.
func (m *Machine) measuring() bool { return m.stage == protocol.Profiling || m.profiling.running }

// unprofilable returns why what has to be measured is not, although a profiler is there.
func (m *Machine) unprofilable(protocol.Time) string {
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
	if !m.started {
		return protocol.Never
	}
	type moment struct {
		counts bool
		at     protocol.Time
	}
	due := []moment{
		{m.blocked.why != "" && !m.blocked.told, m.blocked.since.Add(m.cfg.BlockedAfter)},
		{m.measuring(), m.profiling.heard.Add(silence)},
		{m.stage == protocol.Active, m.activation.seen.Add(silence)},
	}
	for kind, r := range m.rosters { // in any order: the earliest counts
		due = append(due, moment{!m.isThere(kind), r.last.Add(silence)})
	}
	at := protocol.Never
	for _, d := range due {
		if d.counts && d.at > m.now {
			at = min(at, d.at)
		}
	}
	return at
}
