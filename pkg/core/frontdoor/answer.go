package frontdoor

import (
	"time"

	"clockwork/pkg/protocol"
)

// The one answer of a request. Package protocol (who answers a request) has the
// contract between front doors and the scheduler.

// dispatched does what the scheduler decided.
func (m *Machine) dispatched(d *protocol.Dispatch) {
	if d.ID.Door != m.config.ID || m.outdated(d) {
		return
	}
	switch d.Kind {
	case protocol.ToWorker:
		r := m.table.bySeq[d.ID.Seq]
		if r == nil || !protocol.ValidName(d.Worker) {
			return
		}
		r.dispatch(d, m.now)
		if !r.Generated {
			m.sendInput(r)
		} else if o := r.earlyOf(d.Worker); o != nil {
			m.end(m.take(d.ID.Seq), nil, o)
		}
	case protocol.Refuse:
		refusal := d.Refusal
		if refusal == nil {
			refusal = protocol.Refusal(protocol.Internal)
		}
		if r := m.take(d.ID.Seq); r != nil {
			m.end(r, refusal, nil)
		}
	case protocol.Answer:
		if r := m.take(d.ID.Seq); r != nil {
			m.end(r, nil, nil)
		}
	case protocol.Yours:
		if r := m.openQueries[d.ID.Seq]; r != nil {
			delete(m.openQueries, d.ID.Seq)
			r.owned = true
			m.reply(r, r.refusal, nil)
		}
	case protocol.Taken:
		m.abandon(m.openQueries[d.ID.Seq])
	}
}

// outdated reports whether a decision is a former scheduler's: the request was submitted to a
// later one since, which decides, and the workers obey no orders of the former one any more.
// Yours and Taken answer a question that names an epoch, and no other scheduler answers it.
func (m *Machine) outdated(d *protocol.Dispatch) bool {
	r := m.table.bySeq[d.ID.Seq]
	return r != nil && d.Epoch < r.epoch
}

// outputArrived answers a request that was executed, if a worker says so that it was
// given to. The output of one that may have been is kept.
func (m *Machine) outputArrived(e *OutputArrived) {
	id := e.Output.ID
	if id.Door != m.config.ID {
		return
	}
	if r := m.table.bySeq[id.Seq]; r != nil && !r.mayComeFrom(e.Worker) {
		if !m.table.keepEarly(r, e.Worker, e.Output) {
			m.out.Foreign = append(m.out.Foreign, Foreign{e.Worker, r})
		}
		return
	}
	if r := m.take(id.Seq); r != nil {
		m.end(r, nil, e.Output)
	}
}

// take takes a request out for its answer; nil when it was answered before.
func (m *Machine) take(seq uint64) *Request {
	r := m.table.take(seq)
	if r == nil {
		m.counts.Late++
	}
	return r
}

// expire answers each request whose deadline has come.
func (m *Machine) expire() {
	for r := m.table.expired(m.now); r != nil; r = m.table.expired(m.now) {
		if r.Worker != "" {
			m.table.outputs.comesLate(m.now, r.outputBytes())
		}
		m.end(r, nil, nil)
	}
}

// end answers a request: OK only within its deadline, as it stands now (G2). What is so
// late that the scheduler may have answered it is asked about first.
func (m *Machine) end(r *Request, refusal *protocol.Error, o *protocol.Output) {
	m.noteForeign(r)
	if refusal == nil && m.now >= r.Deadline {
		refusal = m.overdue(r)
	}
	if !m.down && m.mayBeLost(r) {
		m.query(r, refusal)
		return
	}
	m.reply(r, refusal, o)
}

// heldAnswer is an answer that fell due while the broker was not reached.
type heldAnswer struct {
	// A refusal counts, whether or not there is an output; an OK without a worker has neither.
	request *Request
	refusal *protocol.Error
	output  *protocol.Output
}

// overdue says why a request has no answer at its deadline.
func (m *Machine) overdue(r *Request) *protocol.Error {
	if m.epoch == 0 {
		return protocol.Errorf(protocol.SchedulerLost, "no scheduler was active when the deadline came")
	}
	return exceeded(r.Deadline.Sub(r.Arrived))
}

func exceeded(slo time.Duration) *protocol.Error {
	refusal := protocol.Errorf(protocol.DeadlineExceeded, "no answer within %v", slo)
	refusal.BudgetMS = protocol.Milliseconds(slo)
	return refusal
}

// reply answers a request, or holds the answer while the broker that carries it is not reached. An output
// that does not fit the model is an error.
func (m *Machine) reply(r *Request, refusal *protocol.Error, o *protocol.Output) {
	if m.down && !r.direct {
		m.heldAnswers = append(m.heldAnswers, heldAnswer{r, refusal, o})
		return
	}
	if refusal == nil && o != nil {
		if want := int64(r.Batch) * r.Model.OutputBytes(); o.Items != r.Batch || int64(len(o.Data)) != want && o.Data != nil {
			_, refusal = Outputs(r, o)
		}
	}
	if refusal != nil {
		o, refusal = nil, toClient(r.Waited, refusal)
	}
	m.counts.Answered++
	m.out.Ended = append(m.out.Ended, Ended{Request: r, Output: o, Refusal: refusal, At: m.now, Claim: r.epoch != 0 && !r.direct})
}

// SentAt is called when the answer is about to be sent, in a number of bytes to a broker
// that carries limit. It returns the event for an OK that cannot be sent, nil for an answer
// that is sent.
func (e *Ended) SentAt(now protocol.Time, bytes, limit int64) *Unsent {
	e.At = max(e.At, now)
	if r := e.Request; e.Refusal == nil && (e.At >= r.Deadline || bytes > limit) {
		return &Unsent{ID: r.ID, Arrived: r.Arrived, Deadline: r.Deadline, Waited: r.Waited, Bytes: bytes, Limit: limit}
	}
	return nil
}

// unsent says what the client is told in place of an OK. An OK whose deadline has passed
// since it was decided is none any more (G2): answers before it may have taken long to send.
func (m *Machine) unsent(e *Unsent) {
	refusal := protocol.Errorf(protocol.PayloadTooLarge, "the answer of %d bytes is larger than the broker carries (%d)", e.Bytes, e.Limit)
	refusal.Got, refusal.Limit = e.Bytes, e.Limit
	if m.now >= e.Deadline {
		refusal = exceeded(e.Deadline.Sub(e.Arrived))
	}
	m.out.Refusal = toClient(e.Waited, refusal)
}

// toClient is a refusal as the client is told it; the one that came with an event stays
// as it is.
func toClient(waited time.Duration, refusal *protocol.Error) *protocol.Error {
	told := *refusal
	if waited > 0 {
		told.BufferedMS = protocol.Milliseconds(waited)
	}
	if !told.Code.Known() {
		told.Code = protocol.Internal
	}
	return &told
}

// clientGone withdraws a request. The scheduler refuses it if no worker was given it. Otherwise
// it goes on, its input included: the batch without it would fail for all. Without a scheduler
// it ends now, as with the next one, unless a worker has it.
func (m *Machine) clientGone(id protocol.RequestID) {
	r := m.table.bySeq[id.Seq]
	if id.Door != m.config.ID || r == nil || !r.direct || r.gone {
		return
	}
	r.gone = true
	if m.epoch == 0 && r.Worker == "" {
		m.cancel(r)
		return
	}
	m.withdraw(r)
}

// withdraw tells the scheduler that nobody waits for a request, if it has it.
func (m *Machine) withdraw(r *Request) {
	if m.epoch != 0 && r.epoch == m.epoch {
		m.out.Withdraw = append(m.out.Withdraw, r)
	}
}

// cancel ends a request whose client went away.
func (m *Machine) cancel(r *Request) {
	m.end(m.table.take(r.ID.Seq), protocol.Errorf(protocol.Cancelled, "the client went away before a worker was given the request"), nil)
}

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

// stop refuses what is left, except what the scheduler may have answered, and withdraws it.
func (m *Machine) stop() {
	m.down = false // there is no later
	for _, r := range m.table.all() {
		m.table.take(r.ID.Seq)
		m.withdraw(r)
		m.dismiss(r)
	}
	for _, h := range m.heldAnswers {
		m.dismiss(h.request)
	}
	m.heldAnswers = nil
	for _, seq := range sortedKeys(m.openQueries) {
		m.abandon(m.openQueries[seq])
	}
}

// dismiss refuses a request of a front door that stops.
func (m *Machine) dismiss(r *Request) {
	if m.mayBeLost(r) {
		m.abandon(r)
		return
	}
	m.reply(r, protocol.Refusal(protocol.ShuttingDown), nil)
}
