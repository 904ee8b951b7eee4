package frontdoor

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// buffer is the startup buffer as its keeper sees it. A request is claimed, which takes
// it out of the store, before it is answered or handed over: so nobody else answers it,
// and nothing is decided before the wait for the store. What is handed over keeps its
// order, but for requests that the store did not say who has.
type buffer struct {
	waiting []*buffered // in order of arrival, so of expiry too
	claims  []*buffered // in the order in which they are to be handed over
	// undecided are requests that the store did not say who has: they are claimed again
	// until it does. Until then nobody answers them.
	undecided map[BufferedID]*buffered
}

type buffered struct {
	BufferSeen
	arrived protocol.Time
	retryAt protocol.Time // of one that is undecided; Never while it is being claimed
	claimed *Claimed      // what came of the claim
	spec    protocol.ModelSpec
	known   bool // its model was, when it was claimed: by spec the body is read
	// unsure: an earlier claim of it may have taken it out of the store. shared: so may
	// another keeper. left: another one keeps the buffer, and finds it if it is there.
	// lost: the buffer was lost.
	unsure, shared, left, lost bool
}

// Bounds of the claims that are repeated.
const (
	maxUndecided = 1 << 16 // with those that are being claimed
	claimAgain   = time.Second
)

func newBuffer() buffer { return buffer{undecided: map[BufferedID]*buffered{}} }

// mayClaim reports whether another request may be claimed.
func (b *buffer) mayClaim(c *Config) bool {
	return len(b.claims) < c.Claims && len(b.claims)+len(b.undecided) < maxUndecided
}

func inOrder(a, b BufferedID) int {
	return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Stored, b.Stored))
}

func (b *buffer) len() int { return len(b.waiting) + len(b.claims) + len(b.undecided) }

// next is when the first request's time is over, or a claim is to be repeated. Where
// as many are being claimed as may be, the end of a claim is what has the next begin.
func (b *buffer) next(c *Config) protocol.Time {
	next := protocol.Never
	if len(b.waiting) > 0 && b.mayClaim(c) {
		next = b.waiting[0].arrived.Add(c.BufferTimeout)
	}
	for _, u := range b.undecided {
		next = min(next, u.retryAt)
	}
	return next
}

// bufferSeen takes note of a stored request. The broker's clock may be another
// machine's, so its word on the age counts only within reason.
func (m *Machine) bufferSeen(e *BufferSeen) {
	if b := m.buffer.claimOf(e.BufferedID); b != nil { // seen by an earlier watch, and not decided yet
		b.left = false
		return
	}
	age := min(max(0, e.Age), m.config.BufferTimeout)
	m.buffer.waiting = append(m.buffer.waiting, &buffered{BufferSeen: *e, arrived: m.now.Add(-age)})
}

// claimOf is a request that is being claimed, or is undecided; nil for none.
func (b *buffer) claimOf(id BufferedID) *buffered {
	if at := slices.IndexFunc(b.claims, func(c *buffered) bool { return c.BufferedID == id }); at >= 0 {
		return b.claims[at]
	}
	return b.undecided[id]
}

// underWay are the requests that are being claimed, and the undecided ones.
func (b *buffer) underWay() []*buffered {
	return slices.Concat(b.claims, slices.Collect(maps.Values(b.undecided)))
}

// keepBuffer claims what has waited too long, and what can be served, a bounded number
// at a time.
func (m *Machine) keepBuffer() {
	b := &m.buffer
	for len(b.waiting) > 0 && b.mayClaim(&m.config) {
		first := b.waiting[0]
		if over := m.now >= first.arrived.Add(m.config.BufferTimeout); !over && !m.serving() {
			break
		}
		b.waiting = b.waiting[1:]
		b.claims = append(b.claims, first)
		m.claim(first)
	}
	for _, id := range slices.SortedFunc(maps.Keys(b.undecided), inOrder) {
		if u := b.undecided[id]; m.now >= u.retryAt {
			u.retryAt = protocol.Never
			m.claim(u)
		}
	}
}

func (m *Machine) claim(b *buffered) {
	b.spec, b.known = m.models[b.Model]
	m.out.Claim = append(m.out.Claim, Claim{BufferedID: b.BufferedID, Model: b.Model, Encoding: b.Encoding, Driver: b.Driver, Spec: b.spec, Known: b.known})
}

// claimed ends a claim; what was claimed is handed over in order. A claim of a buffer that
// was lost meanwhile is of no request here.
func (m *Machine) claimed(e *Claimed) {
	b := &m.buffer
	of := b.claimOf(e.BufferedID)
	if of == nil {
		return
	}
	done := *e
	of.claimed = &done
	if b.undecided[e.BufferedID] != nil {
		delete(b.undecided, e.BufferedID)
		m.handOver(of)
	}
	for len(b.claims) > 0 && b.claims[0].claimed != nil {
		first := b.claims[0]
		b.claims = b.claims[1:]
		m.handOver(first)
	}
}

// handOver answers a claimed request, or serves it from now on. It was let in before,
// so no limit refuses it; whose it is, its inbox says.
func (m *Machine) handOver(b *buffered) {
	c := b.claimed
	tenant, _ := protocol.InboxOwner(b.Reply)
	r := &Request{Name: b.Model, Reply: b.Reply, Tenant: tenant, Encoding: b.Encoding, Bytes: c.Bytes, Buffered: b.Seq,
		Waited: m.now.Sub(b.arrived), Driver: b.Driver}
	switch {
	case !c.Mine && b.lost:
		m.refuseLost(b)
	case c.Unknown && b.left: // the next keeper finds it, if it is there
	case c.Unknown:
		b.unsure, b.claimed, b.retryAt = true, nil, m.now.Add(claimAgain)
		m.buffer.undecided[b.BufferedID] = b
	case !c.Mine && b.unsure && !b.shared: // the claim without a word was the one
		m.refuseBuffered(r, protocol.Errorf(protocol.StateUnavailable, "the store did not say in time that the request is claimed"))
	case !c.Mine: // somebody else answers it
	case !m.config.Subjects.IsClients(r.Reply): // nobody may be answered there
	case !m.serving() && m.now >= b.arrived.Add(m.config.BufferTimeout):
		m.refuseBuffered(r, protocol.Errorf(protocol.BufferTimeout, "waited %v for a scheduler to become active", m.config.BufferTimeout))
	case c.Fault != nil:
		m.refuseBuffered(r, c.Fault)
	default:
		m.serveBuffered(r, b)
	}
}

// serveBuffered has the SLO of a request begin now. A scheduler that was lost since
// the claim has a successor: the request waits for it as any other does.
func (m *Machine) serveBuffered(r *Request, b *buffered) {
	if !b.known {
		m.refuseBuffered(r, unknown(b.Model))
		return
	}
	slo := b.Budget
	if slo <= 0 || slo > protocol.MaxSLO {
		slo = m.config.DefaultSLO
	}
	m.fill(r, &b.claimed.Read)
	r.Model, r.Known, r.Arrived, r.Deadline = b.spec, true, m.now, m.now.Add(slo)
	m.forgetStored()
	r.share = m.table.limits.Hold(r.Tenant, r.Name, int64(r.Bytes), instant(m.now))
	if fault := m.accept(r); fault != nil {
		m.table.limits.Return(r.share)
		m.refuseBuffered(r, fault)
	}
}

// refuseBuffered answers a request that is in no table and was never submitted.
func (m *Machine) refuseBuffered(r *Request, why *protocol.Error) {
	if m.config.Subjects.IsClients(r.Reply) {
		m.give(r, why, nil)
	}
}

// keeperEnded leaves what waits to the next keeper. What is being claimed is out of
// the store, or about to be, so only this front door can answer it.
func (m *Machine) keeperEnded() {
	b := &m.buffer
	b.waiting = nil
	maps.DeleteFunc(b.undecided, func(_ BufferedID, u *buffered) bool { return u.retryAt != protocol.Never }) // not under way
	for _, of := range b.underWay() {
		of.shared, of.left = true, true
	}
}

// bufferLost answers what waited in a buffer that is gone. What is being claimed is
// answered when the claim ends: it may have come before the loss.
func (m *Machine) bufferLost() {
	b := &m.buffer
	lost := b.waiting
	b.waiting = nil
	for _, id := range slices.SortedFunc(maps.Keys(b.undecided), inOrder) {
		if u := b.undecided[id]; u.retryAt != protocol.Never {
			delete(b.undecided, id)
			lost = append(lost, u)
		}
	}
	for _, of := range b.underWay() {
		of.lost = true
	}
	for _, of := range lost {
		m.refuseLost(of)
	}
}

func (m *Machine) refuseLost(b *buffered) {
	if b.shared {
		return // another keeper may have claimed it
	}
	r := &Request{Name: b.Model, Reply: b.Reply, Encoding: b.Encoding, Buffered: b.Seq, Waited: m.now.Sub(b.arrived), Driver: b.Driver}
	m.refuseBuffered(r, protocol.Errorf(protocol.StateUnavailable, "the store lost the request while it waited for activation"))
}
