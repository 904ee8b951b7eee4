package startup

import "clockwork/pkg/protocol"

// announcement is a join that no active scheduler has confirmed: the message or its answer
// may be lost, there may be no active scheduler yet, or one that has lost its lease may have
// confirmed. Repetition does no harm: the scheduler records an incarnation of a worker once.
type announcement struct {
	state *protocol.WorkerState // as in JoinWorkers; nil for none
	next  protocol.Time         // when it is announced again
}

// announce has a worker join the scheduler.
func (m *Machine) announce(w *worker, state protocol.WorkerState) {
	w.joined, w.announced = true, announcement{&state, m.now.Add(m.cfg.Resend)}
	m.out.JoinWorkers = append(m.out.JoinWorkers, state)
}

// announceAgain repeats the joins that are not confirmed.
func (m *Machine) announceAgain() {
	for _, w := range m.sorted() {
		if m.now >= w.announceAt() {
			w.announced.next = m.now.Add(m.cfg.Resend)
			m.out.JoinAgain = append(m.out.JoinAgain, *w.announced.state)
		}
	}
}

// announceAt is when a worker is announced again; Never for none.
func (w *worker) announceAt() protocol.Time {
	if !w.joined || w.announced.state == nil {
		return protocol.Never
	}
	return w.announced.next
}

// joinConfirmed ends an announcement, unless a scheduler confirms it that was active before
// the one that is.
func (m *Machine) joinConfirmed(e JoinConfirmed) {
	if w := m.workers[e.ID]; w != nil && w.incarnation == e.Incarnation && e.Epoch >= m.activation.active {
		w.announced = announcement{}
	}
}
