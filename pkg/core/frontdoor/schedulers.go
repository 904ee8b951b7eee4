package frontdoor

import (
	"slices"

	"clockwork/pkg/protocol"
)

// schedulers are those whose heartbeats say that they are active. The highest epoch
// is in charge.
type schedulers struct {
	// actives are the schedulers whose last heartbeat says that they are active, by id.
	actives  map[string]active
	epoch    uint64        // of the one in charge, 0 for none
	latest   uint64        // the last epoch that was not 0
	lastBeat protocol.Time // of an active one
}

type active struct {
	epoch, incarnation uint64
	capacity           protocol.Capacity
	// refused are models that it refuses for their crashes, unavailable those that no GPU can
	// hold: as many as its heartbeat names.
	refused, unavailable []string
}

// capacity returns that of the scheduler in charge; an epoch is one scheduler's.
func (s *schedulers) capacity() protocol.Capacity { return s.inCharge().capacity }

func (s *schedulers) inCharge() active {
	for _, a := range s.actives {
		if a.epoch == s.epoch {
			return a
		}
	}
	return active{}
}

// Unserved returns why requests to a model are not executed now, "" if they are, or if only
// the stack as a whole serves none.
func (m *Machine) Unserved(name string) string {
	switch s := m.inCharge(); {
	case slices.Contains(s.refused, name):
		return "the model is quarantined: its executions ended or hung the processes that executed them"
	case slices.Contains(s.unavailable, name):
		return "no GPU in service can hold the model: no worker is connected that could load it, or every GPU that could is stalled"
	}
	return ""
}

// schedulerBeat follows who is active. What was submitted to another scheduler is
// submitted again.
func (m *Machine) schedulerBeat(h protocol.Heartbeat) {
	if h.State == protocol.SchedulerActive {
		a := active{epoch: h.Epoch, incarnation: h.Incarnation, capacity: h.Capacity, unavailable: h.Unavailable}
		for _, q := range h.Quarantined {
			a.refused = append(a.refused, q.Name)
		}
		m.actives[h.ID] = a
		m.lastBeat = m.now
	} else {
		delete(m.actives, h.ID)
	}
	m.settleEpoch()
}

func (m *Machine) schedulerLost(h protocol.Heartbeat) {
	delete(m.actives, h.ID)
	m.settleEpoch()
}

// settleEpoch submits again what another epoch was in charge of, unless nobody waits for it
// any more. A request whose front door asks whose its answer is stays with that question.
func (m *Machine) settleEpoch() {
	epoch := uint64(0)
	for _, a := range m.actives {
		epoch = max(epoch, a.epoch)
	}
	if epoch == m.epoch {
		return
	}
	m.epoch = epoch
	if epoch == 0 {
		return
	}
	m.latest = epoch
	for _, r := range m.table.all() {
		switch {
		case r.epoch == epoch:
		case r.gone:
			m.cancel(r)
		default:
			m.submit(r)
		}
	}
}

// activated reports whether requests are the front door's own, with their deadlines,
// rather than the startup buffer's: from the first scheduler that it saw on. Where that
// one is lost, requests wait here for the next one, no longer than their clients do.
func (m *Machine) activated() bool { return m.stage == protocol.Active && m.latest != 0 }

// schedulerActive reports whether requests go to a scheduler now.
func (m *Machine) schedulerActive() bool { return m.stage == protocol.Active && m.epoch != 0 }
