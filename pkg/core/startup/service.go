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
	for _, kind := range []protocol.ServiceKind{protocol.Profiler, protocol.Scheduler, protocol.FrontDoor} {
		rosters[kind] = &roster{there: map[string]bool{}}
	}
	return rosters
}

// absent reports whether there is none, and was none for some time: one may be about to come
// when another was lost, and a controller that starts has heard of nobody yet.
func (r *roster) absent(now protocol.Time) bool {
	return len(r.there) == 0 && now.Sub(r.last) >= silence
}

// isThere reports whether who sends this heartbeat counts: a service that stops does not, nor a
// front door that takes no requests from clients.
func isThere(h *protocol.Heartbeat) bool {
	if h.Service == protocol.FrontDoor {
		return h.State == protocol.FrontDoorOpen
	}
	return h.State != protocol.Stopping
}

// note records whether a service is there.
func (m *Machine) note(h *protocol.Heartbeat, there bool) {
	r := m.rosters[h.Service]
	switch {
	case r == nil:
	case !there:
		if r.there[h.ID] {
			r.last = m.now
		}
		delete(r.there, h.ID)
	case len(r.there) < m.cfg.MaxWorkers:
		r.there[h.ID] = true
	}
}

// repeats reports whether a heartbeat says nothing that the machine does not know: most of
// those of front doors do not, of which there may be many.
func (m *Machine) repeats(e Event) bool {
	beat, is := e.(ServiceBeat)
	return is && beat.Service == protocol.FrontDoor && m.rosters[protocol.FrontDoor].there[beat.ID] == isThere(&beat.Heartbeat)
}

// serviceBeat follows who is there, what the profiler with the lease does, and which scheduler
// is active.
func (m *Machine) serviceBeat(h *protocol.Heartbeat) {
	m.note(h, isThere(h))
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
	m.note(h, false)
	if h.Service == protocol.Scheduler && h.ID == m.refused.by {
		m.refused = refused{} // a new epoch begins without
	}
}
