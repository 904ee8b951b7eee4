package frontdoor

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// buffer is the startup buffer at its owner. A request is claimed, which removes it from
// the store, before it is answered or handed over: so no other front door answers it, and
// nothing is decided before the store has replied. Requests are handed over in order,
// except those whose claim got no reply, and no faster than there is room for them among
// the requests in flight: each claim holds room from its beginning.
type buffer struct {
	waiting []*buffered // in order of arrival, so of expiry too
	claims  []*buffered // in the order in which they are to be handed over
	// undecided are requests whose claim got no reply from the store. They are claimed
	// again until there is one, and not answered before.
	undecided map[BufferedID]*buffered
}

type buffered struct {
	BufferSeen
	arrived protocol.Time
	retryAt protocol.Time // if it is undecided; Never while a claim is in progress
	claimed *Claimed      // result of the claim
	held    room          // that it holds while it is being claimed
	spec    protocol.ModelSpec
	known   bool // spec is the model at the time of the claim, by which the body is read
	unsure  bool // an earlier claim got no reply, and may have removed it
	shared  bool // another owner may have claimed it
	left    bool // another front door is the owner now: it sees the request if it is stored
	lost    bool // the buffer was lost
}

// Bounds of repeated claims.
const (
	maxUndecided = 1 << 16 // including claims in progress
	claimAgain   = time.Second
)

func newBuffer() buffer { return buffer{undecided: map[BufferedID]*buffered{}} }

// mayClaim reports whether another request may be claimed.
func (b *buffer) mayClaim(c *Config) bool {
	return len(b.claims) < c.Claims && len(b.claims)+len(b.undecided) < maxUndecided
}

// inOrder is the order of the buffer.
func inOrder(a, b BufferedID) int {
	return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Stored, b.Stored))
}

// undecidedInOrder returns the keys of undecided, sorted.
func (b *buffer) undecidedInOrder() []BufferedID {
	return slices.SortedFunc(maps.Keys(b.undecided), inOrder)
}

// takeIdle removes and returns what is not being claimed now: what waits, then what was to
// be claimed again.
func (b *buffer) takeIdle() []*buffered {
	idle := b.waiting
	b.waiting = nil
	for _, id := range b.undecidedInOrder() {
		if u := b.undecided[id]; u.retryAt != protocol.Never {
			delete(b.undecided, id)
			idle = append(idle, u)
		}
	}
	return idle
}

func (b *buffer) len() int { return len(b.waiting) + len(b.claims) + len(b.undecided) }

// next is when the first request's time is over, or a claim is to be repeated. If no more
// claims may begin, the end of one starts the next.
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
	if b := m.buffer.claimOf(e.BufferedID); b != nil { // seen by an earlier watch
		b.left = false
		return
	}
	age := min(max(0, e.Age), m.config.BufferTimeout)
	m.buffer.waiting = append(m.buffer.waiting, &buffered{BufferSeen: *e, arrived: m.now.Add(-age)})
}

// claimOf returns the request whose claim is in progress or undecided; nil for none.
func (b *buffer) claimOf(id BufferedID) *buffered {
	if at := slices.IndexFunc(b.claims, func(c *buffered) bool { return c.BufferedID == id }); at >= 0 {
		return b.claims[at]
	}
	return b.undecided[id]
}

// underWay returns the requests whose claim is in progress or undecided.
func (b *buffer) underWay() []*buffered {
	return slices.Concat(b.claims, slices.Collect(maps.Values(b.undecided)))
}

// keepBuffer claims what has waited too long, and what can be served, a bounded number
// at a time.
func (m *Machine) keepBuffer() {
	b := &m.buffer
	m.table.turn = room{}
	for len(b.waiting) > 0 && b.mayClaim(&m.config) {
		first := b.waiting[0]
		if !m.isOver(first) && !m.schedulerActive() {
			break
		}
		if !m.holdRoom(first) {
			m.table.turn = m.roomFor(first)
			break
		}
		b.waiting = b.waiting[1:]
		b.claims = append(b.claims, first)
		m.claim(first)
	}
	for _, id := range b.undecidedInOrder() {
		u := b.undecided[id]
		if m.now < u.retryAt {
			continue
		}
		if !m.holdRoom(u) {
			u.retryAt = m.now.Add(claimAgain)
			continue
		}
		u.retryAt = protocol.Never
		m.claim(u)
	}
}

// isOver reports whether a request has waited for as long as it may.
func (m *Machine) isOver(b *buffered) bool {
	return m.now >= b.arrived.Add(m.config.BufferTimeout)
}

// mostExpansion is how many bytes of payload one byte of a message may become: a number of
// one byte in msgpack is one of eight bytes in a tensor.
const mostExpansion = 8

// roomFor is the room that a request may need among those in flight.
func (m *Machine) roomFor(b *buffered) room {
	return room{1, min(m.config.MaxPayload, mostExpansion*int64(b.Bytes))}
}

// holdRoom takes room for a request that is claimed now. One whose time is over is claimed
// in any case.
func (m *Machine) holdRoom(b *buffered) bool {
	b.held = room{}
	if r := m.roomFor(b); m.table.hold(r) {
		b.held = r
		return true
	}
	return m.isOver(b)
}

func (m *Machine) claim(b *buffered) {
	b.spec, b.known = m.models[b.Model]
	m.out.Claim = append(m.out.Claim, Claim{BufferedID: b.BufferedID, Model: b.Model, Encoding: b.Encoding, Driver: b.Driver, Spec: b.spec, Known: b.known})
}

// claimed ends a claim; claimed requests are handed over in order.
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
	m.table.release(b.held)
	c := b.claimed
	r := m.requestOf(b)
	r.Tenant, _ = protocol.InboxOwner(b.Reply)
	r.Bytes = c.Bytes
	switch {
	case !c.Mine && b.lost:
		m.refuseLost(b)
	case c.Unknown && b.left: // the next owner sees it, if it is stored
	case c.Unknown:
		b.unsure, b.claimed, b.retryAt = true, nil, m.now.Add(claimAgain)
		m.buffer.undecided[b.BufferedID] = b
	case !c.Mine && b.unsure && !b.shared: // the claim without a reply removed it
		m.refuseBuffered(r, protocol.Errorf(protocol.StateUnavailable, "the store did not confirm in time that the request is claimed"))
	case !c.Mine: // somebody else answers it
	case !m.config.Subjects.IsClients(r.Reply): // nobody may be answered there
	case !m.schedulerActive() && m.isOver(b):
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
		if fault.Code == protocol.Overloaded && m.isOver(b) {
			fault = protocol.Errorf(protocol.BufferTimeout, "waited %v, at the end for room: %s", m.config.BufferTimeout, fault.Message)
		}
		m.refuseBuffered(r, fault)
	}
}

// refuseBuffered answers a request that is in no table and was never submitted.
func (m *Machine) refuseBuffered(r *Request, refusal *protocol.Error) {
	if m.config.Subjects.IsClients(r.Reply) {
		m.reply(r, refusal, nil)
	}
}

// bufferReleased leaves what waits to the next owner. What is being claimed is out of
// the store, or about to be, so only this front door can answer it.
func (m *Machine) bufferReleased() {
	m.buffer.takeIdle()
	for _, of := range m.buffer.underWay() {
		of.shared, of.left = true, true
	}
}

// bufferLost refuses what waited in the lost buffer. A claim in progress may have succeeded
// before the loss, so such a request is decided when the claim ends.
func (m *Machine) bufferLost() {
	lost := m.buffer.takeIdle()
	for _, of := range m.buffer.underWay() {
		of.lost = true
	}
	for _, of := range lost {
		m.refuseLost(of)
	}
}

func (m *Machine) refuseLost(b *buffered) {
	if b.shared {
		return // another owner may have claimed it
	}
	m.refuseBuffered(m.requestOf(b), protocol.Errorf(protocol.StateUnavailable, "the store lost the request while it waited for activation"))
}

// requestOf returns a buffered request as far as it is known without its body.
func (m *Machine) requestOf(b *buffered) *Request {
	return &Request{Name: b.Model, Reply: b.Reply, Encoding: b.Encoding, Buffered: b.Seq, Waited: m.now.Sub(b.arrived), Driver: b.Driver}
}
