package startup

import "clockwork/pkg/protocol"

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

// counts reports whether who sends a heartbeat counts as a service of a kind: a service that
// stops does not. A front door counts as what it takes requests of clients as, on the broker or
// as a gateway, or as nothing.
func counts(h *protocol.Heartbeat, kind protocol.ServiceKind) bool {
	switch kind {
	case protocol.FrontDoor:
		return h.State == protocol.FrontDoorOpen
	case protocol.Gateway:
		return h.State == protocol.FrontDoorGateway
	}
	return h.State != protocol.Stopping
}

// kindsOfService are the kinds that who sends a heartbeat may count as.
func kindsOfService(h *protocol.Heartbeat) []protocol.ServiceKind {
	if h.Service == protocol.FrontDoor {
		return []protocol.ServiceKind{protocol.FrontDoor, protocol.Gateway}
	}
	return []protocol.ServiceKind{h.Service}
}

// note records whether a service of a kind is there.
func (m *Machine) note(kind protocol.ServiceKind, id string, there bool) {
	r := m.rosters[kind]
	switch {
	case r == nil:
	case !there:
		if r.there[id] {
			r.last = m.now
		}
		delete(r.there, id)
	case len(r.there) < m.cfg.MaxWorkers:
		r.there[id] = true
	}
}

// repeats reports whether a heartbeat says nothing that the machine does not know: most of
// those of front doors do not, of which there may be many.
func (m *Machine) repeats(e Event) bool {
	beat, is := e.(ServiceBeat)
	if !is || beat.Service != protocol.FrontDoor {
		return false
	}
	for _, kind := range kindsOfService(&beat.Heartbeat) {
		if m.rosters[kind].there[beat.ID] != counts(&beat.Heartbeat, kind) {
			return false
		}
	}
	return true
}

// serviceBeat follows who is there, what the profiler with the lease does, and which scheduler
// is active.
func (m *Machine) serviceBeat(h *protocol.Heartbeat) {
	for _, kind := range kindsOfService(h) {
		m.note(kind, h.ID, counts(h, kind))
	}
	switch h.Service {
	case protocol.Profiler:
		if h.State == protocol.Idle || h.State == protocol.Busy { // others stand by, and get no jobs
			m.profilerSeen(h)
		}
	case protocol.Scheduler:
		m.refusedModels(h)
		m.schedulerSeen(h)
	}
}

func (m *Machine) serviceLost(h *protocol.Heartbeat) {
	for _, kind := range kindsOfService(h) {
		m.note(kind, h.ID, false)
	}
	if h.Service == protocol.Scheduler && h.ID == m.refused.by {
		m.refused = refused{} // a new epoch begins without
	}
}
