package startup

import (
	"time"

	"clockwork/pkg/protocol"
)

// countDown starts, restarts, stops or ends the countdown to PROFILING. The
// countdown runs only in LOADING, with at least one model and one ready worker,
// and while nothing is pending. Load activity in this step restarts it. If a
// load arrives at the instant at which the countdown ends, the load wins if its
// step comes first. A load that is refused for its arguments is no activity: the
// countdown continues as if that load had never come (ADR 10).
func (m *Machine) countDown() {
	if m.closed {
		return
	}
	unready := m.stage != protocol.Loading || len(m.models) == 0 || m.unready()
	if unready || m.touched {
		m.paused = protocol.Never
	}
	if unready || m.loading() {
		if m.countdown != protocol.Never {
			if !unready && !m.touched {
				m.paused = m.countdown
			}
			m.countdown = protocol.Never
			m.event(protocol.Event{Kind: protocol.EventCountdown, Message: "stopped: a load is pending"})
		}
		return
	}
	if m.countdown == protocol.Never || m.touched {
		m.countdown = m.now.Add(m.cfg.LoadIdle)
		if m.paused != protocol.Never {
			m.countdown = m.paused
		}
		m.paused = protocol.Never
		left := max(0, m.countdown.Sub(m.now))
		m.event(protocol.Event{Kind: protocol.EventCountdown, LeftMS: float64(left) / float64(time.Millisecond)})
	}
	if m.now >= m.countdown {
		m.countdown, m.closed = protocol.Never, true
		m.setStage(protocol.Profiling)
		for _, w := range m.sorted() {
			if w.answered {
				m.reconcile(w) // removes models that no load named
			}
		}
	}
}

// loading reports whether a load is pending or waiting.
func (m *Machine) loading() bool { return len(m.loads)+len(m.waiting) > 0 }

// unready reports whether loading must stay open: the removal of a failed load
// from KV, a catch-up or the query is outstanding, or no worker is ready.
func (m *Machine) unready() bool {
	if m.querying || len(m.unstoring) > 0 {
		return true
	}
	ready := false
	for _, w := range m.workers {
		if w.answered && !w.ready() || !w.answered && !w.late {
			return true
		}
		ready = ready || w.ready() && len(w.lacks) < len(m.models)
	}
	return !ready
}

// Countdown returns the time until loading closes; false if no countdown runs.
func (m *Machine) Countdown(now protocol.Time) (time.Duration, bool) {
	if m.countdown == protocol.Never {
		return 0, false
	}
	return max(0, m.countdown.Sub(now)), true
}

// wake returns the earliest time at which a Tick can change the state.
func (m *Machine) wake() protocol.Time {
	at := min(m.countdown, m.wakeBlocked())
	for _, w := range m.workers {
		at = min(at, w.announceAt())
		if !w.waiting && !w.joined && w.foundUntil > m.now {
			at = min(at, w.foundUntil)
		}
		if w.waiting {
			at = min(at, w.queriedAt.Add(m.cfg.QueryTimeout))
		}
		if w.unmeasured && m.stage == protocol.Active && m.renewals.look > m.now {
			at = min(at, m.renewals.look)
		}
		if w.retry.at > m.now && len(w.retry.left) == 0 && w.retry.task == nil {
			at = min(at, w.retry.at)
		}
		for _, t := range w.out {
			at = min(at, t.resend)
			if t.catchup && !t.late {
				at = min(at, t.sent.Add(m.cfg.LoadTimeout))
			}
		}
		for _, t := range w.queue {
			if t.notBefore > m.now {
				at = min(at, t.notBefore)
			}
		}
	}
	for _, l := range m.waiting {
		at = min(at, l.deadline)
	}
	for _, l := range m.loads {
		if l.storing == 0 {
			at = min(at, l.deadline)
			if l.retryAt > m.now {
				at = min(at, l.retryAt)
			}
		}
	}
	if m.retryStage != 0 {
		at = min(at, m.retryAt)
	}
	if m.profiling.retryAt > m.now {
		at = min(at, m.profiling.retryAt)
	}
	if m.activation.running {
		at = min(at, m.activation.until)
	}
	return at
}
