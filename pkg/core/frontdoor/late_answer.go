package frontdoor

import "clockwork/pkg/protocol"

// A late answer: the scheduler may have answered the request in the meantime, and is asked whose
// the answer is before it is claimed. Package protocol (who answers a request) has the contract.

// mayBeLost reports whether the scheduler may have answered: a connection broke since the
// request was submitted, its deadline is long over, and the scheduler did not say Yours.
func (m *Machine) mayBeLost(r *Request) bool {
	return r.epoch != 0 && !r.owned && !r.direct && r.breaks != m.breaks && m.now > r.Deadline.Add(protocol.LateReplyUnasked)
}

// query keeps a request until the scheduler says whose its answer is.
func (m *Machine) query(r *Request, refusal *protocol.Error) {
	if refusal == nil {
		refusal = m.overdue(r)
	}
	r.refusal, r.queryEpoch, r.outage = refusal, m.broken, m.outage
	m.openQueries[r.ID.Seq] = r
	m.sendQuery(r)
}

func (m *Machine) sendQuery(r *Request) {
	r.queryAt = m.now.Add(protocol.HeartbeatEvery)
	m.out.Ask = append(m.out.Ask, Question{r.queryEpoch, r})
}

// repeatQueries repeats questions that have no answer. Of a scheduler that is gone, the
// answer is the front door's own if nobody can have missed it, and else nobody's.
func (m *Machine) repeatQueries() {
	if len(m.openQueries) == 0 {
		return
	}
	for _, seq := range sortedKeys(m.openQueries) {
		r := m.openQueries[seq]
		switch {
		case m.now < r.queryAt:
		case m.now > r.Deadline.Add(protocol.LateReplyFor):
			m.abandon(r)
		case m.down || m.epoch == 0 || m.epoch == r.queryEpoch:
			m.sendQuery(r)
		case r.outage < protocol.HeartbeatLost/2:
			delete(m.openQueries, seq)
			m.reply(r, r.refusal, nil)
		default:
			m.abandon(r)
		}
	}
}

// abandon drops a request whose answer is not the front door's.
func (m *Machine) abandon(r *Request) {
	if r == nil {
		return
	}
	delete(m.openQueries, r.ID.Seq)
	m.counts.Left++
}

func (m *Machine) nextQuery() protocol.Time {
	next := protocol.Never
	for _, r := range m.openQueries {
		next = min(next, r.queryAt)
	}
	return next
}

// connectionSeen follows the connection: while it is down, answers are held, and a break
// counts once it is there again, whether or not it was seen down.
func (m *Machine) connectionSeen(c Connection) {
	back := c.Up && (m.down || c.Breaks != m.connection.Breaks)
	m.connection, m.down = c, !c.Up
	if back {
		m.connectionBroke()
	}
}

// connectionBroke notes that the scheduler that was active may have answered what was
// submitted before. Requests that are due are settled now: after another break, the epoch
// and the outage of that one would be used.
func (m *Machine) connectionBroke() {
	m.breaks++
	m.broken, m.outage = m.latest, m.now.Sub(m.lastBeat)
	for _, r := range m.openQueries {
		r.outage = max(r.outage, m.outage)
	}
	waiting := m.heldAnswers
	m.heldAnswers = nil
	for _, h := range waiting {
		m.end(h.request, h.refusal, h.output)
	}
	m.expire()
}
