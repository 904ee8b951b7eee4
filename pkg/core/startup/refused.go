package startup

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// refused are the models that the active scheduler refuses for their crashes, by name, and for
// how long more, as its last heartbeat said. They are shown as quarantined, and served again
// without the machine: how long it lasts the scheduler alone decides.
type refused struct {
	by    string // the scheduler's id
	epoch uint64
	left  map[string]time.Duration
}

// refusedModels takes them from a heartbeat, and outputs an event for each that is new. A
// scheduler that another has succeeded refuses nothing any more.
func (m *Machine) refusedModels(h *protocol.Heartbeat) {
	if h.State != protocol.SchedulerActive || h.Epoch < m.refused.epoch {
		return
	}
	before := m.refused.left
	m.refused = refused{by: h.ID, epoch: h.Epoch}
	if len(h.Quarantined) > 0 {
		m.refused.left = map[string]time.Duration{}
	}
	for _, q := range h.Quarantined {
		m.refused.left[q.Name] = q.Left
		if _, known := before[q.Name]; !known {
			m.event(protocol.Event{Kind: protocol.EventQuarantine, Model: q.Name, Message: crashing(q.Left)})
		}
	}
}

func crashing(left time.Duration) string {
	return fmt.Sprintf("its executions ended or hung what executed them; served again in %v", left.Round(time.Second))
}

// unserved returns why a model is not served now, "" if it is.
func (m *Machine) unserved(name string) string {
	if why := m.quarantined[name]; why != "" {
		return why
	}
	if left, is := m.refused.left[name]; is {
		return crashing(left)
	}
	return ""
}

// QuarantinedCount returns how many accepted models are not served now.
func (m *Machine) QuarantinedCount() int {
	n := len(m.quarantined)
	for name := range m.refused.left { // in any order: a sum
		if m.isModel(name) && m.quarantined[name] == "" {
			n++
		}
	}
	return n
}
