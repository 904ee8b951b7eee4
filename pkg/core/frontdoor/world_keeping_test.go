package frontdoor

import (
	"maps"
	"slices"

	"clockwork/pkg/protocol"
)

// keeping is the expected state of the startup buffer at its owner.
type keeping struct {
	unclaimed []*kept
	claiming  []*kept              // in the order in which they are handed over
	undecided map[BufferedID]*kept // claims without a reply
	tookOver  int64                // requests that it answers as the owner
	turn      int                  // bytes that the next request waits for, -1 for none
}

// kept is a request in the startup buffer.
type kept struct {
	*message
	arrived protocol.Time
	known   bool // the model, when it was claimed
	claimed *Claimed
	retryAt protocol.Time
	unsure  bool // an earlier claim got no reply
	shared  bool // another owner may have claimed it
	left    bool // another front door is the owner now
	lost    bool // the buffer was lost
	room    int  // bytes that it holds while it is being claimed, -1 for none
}

func newKeeping() keeping { return keeping{undecided: map[BufferedID]*kept{}, turn: -1} }

func (b *books) bufferSeen(e *BufferSeen) {
	if k := b.claimOf(e.BufferedID); k != nil {
		k.left = false
		return
	}
	age := min(max(0, e.Age), b.config.BufferTimeout)
	b.unclaimed = append(b.unclaimed, &kept{message: e.Driver.(*message), arrived: b.Now.Add(-age), room: -1})
}

func (b *books) claimOf(id BufferedID) *kept {
	for _, k := range b.claiming {
		if k.id() == id {
			return k
		}
	}
	return b.undecided[id]
}

func (b *books) isOver(k *kept) bool { return b.Now >= k.arrived.Add(b.config.BufferTimeout) }

// needs is how many bytes a request may have.
func (b *books) needs(k *kept) int { return min(int(b.config.MaxPayload), 8*k.bytes()) }

// taken counts the requests in flight, and those that are being claimed.
func (b *books) taken() (count, bytes int) {
	for _, x := range b.open {
		if x.phase == waiting {
			count, bytes = count+1, bytes+x.payload
		}
	}
	for _, k := range slices.Concat(b.claiming, slices.Collect(maps.Values(b.undecided))) {
		if k.room >= 0 {
			count, bytes = count+1, bytes+k.room
		}
	}
	return count, bytes
}

// holds: a request is claimed when there is room for it, or when its time is over.
func (b *books) holds(k *kept) bool {
	count, bytes := b.taken()
	k.room = -1
	if count < b.config.MaxInFlight && (bytes+b.needs(k) <= int(b.config.MaxInFlightBytes) || bytes == 0) && b.outputs(false) < int(b.config.MaxInFlightOutputs) {
		k.room = b.needs(k)
		return true
	}
	b.count("no room for what waits")
	return b.isOver(k)
}

// keepBuffer: requests are claimed in order once a scheduler is active or their time is
// over, a limited number at a time.
func (b *books) keepBuffer() {
	b.turn = -1
	for len(b.unclaimed) > 0 && len(b.claiming) < b.config.Claims && (b.serving() || b.isOver(b.unclaimed[0])) {
		k := b.unclaimed[0]
		if !b.holds(k) {
			b.turn = b.needs(k)
			break
		}
		k.known = b.models[k.model]
		b.unclaimed, b.claiming = b.unclaimed[1:], append(b.claiming, k)
		b.want.claims = append(b.want.claims, k.id())
	}
	for _, id := range slices.SortedFunc(maps.Keys(b.undecided), inOrder) {
		switch k := b.undecided[id]; {
		case b.Now < k.retryAt:
		case !b.holds(k):
			k.retryAt = b.Now.Add(claimAgain)
		default:
			k.retryAt, k.known = protocol.Never, b.models[k.model]
			b.want.claims = append(b.want.claims, id)
		}
	}
}

// bufferDue is when the next request is to be claimed, or claimed again.
func (b *books) bufferDue() protocol.Time {
	due := protocol.Never
	if len(b.unclaimed) > 0 && len(b.claiming) < b.config.Claims {
		due = b.unclaimed[0].arrived.Add(b.config.BufferTimeout)
	}
	for _, k := range b.undecided {
		due = min(due, k.retryAt)
	}
	return due
}

func (b *books) compareClaims(out *Output) {
	var got []BufferedID
	for _, c := range out.Claim {
		got = append(got, c.BufferedID)
		if c.Known != b.models[c.Model] {
			b.failf("G3: front door %d claims %+v", b.door.id, c)
		}
	}
	if !slices.Equal(got, b.want.claims) {
		b.failf("G3: front door %d claims %v, expected %v", b.door.id, got, b.want.claims)
	}
}

// claimed: requests are handed over in order.
func (b *books) claimed(e *Claimed) {
	k := b.claimOf(e.BufferedID)
	if k == nil {
		return // of a buffer that is lost
	}
	k.claimed = e
	if b.undecided[e.BufferedID] != nil {
		delete(b.undecided, e.BufferedID)
		b.handOver(k)
	}
	for len(b.claiming) > 0 && b.claiming[0].claimed != nil {
		k := b.claiming[0]
		b.claiming = b.claiming[1:]
		b.handOver(k)
	}
}

// handOver: the owner that claimed a request serves it, or answers BUFFER_TIMEOUT if its
// time is over and no scheduler is active.
func (b *books) handOver(k *kept) {
	c := k.claimed
	k.room = -1
	switch {
	case !c.Mine && k.lost:
		b.refuseLost(k)
	case c.Unknown && k.left:
	case c.Unknown:
		k.unsure, k.claimed, k.retryAt = true, nil, b.Now.Add(claimAgain)
		b.undecided[k.id()] = k
	case k.client == nil: // nobody may be answered there
	case !c.Mine && k.unsure && !k.shared: // only this front door can have claimed it
		b.refuseKept(k, protocol.StateUnavailable)
	case !c.Mine: // another owner answers it
	case !b.serving() && b.isOver(k):
		b.refuseKept(k, protocol.BufferTimeout)
	case c.Fault != nil:
		b.refuseKept(k, c.Fault.Code)
	case !k.known:
		b.refuseKept(k, protocol.UnknownModel)
	default:
		b.serveKept(k)
	}
}

func (b *books) refuseKept(k *kept, code protocol.Code) {
	b.tookOver++
	b.reply(&entry{c: k.client, fault: code})
}

// serveKept: the SLO begins now. Limits were checked on arrival; a full front door refuses
// what has waited too long for room, and nothing else.
func (b *books) serveKept(k *kept) {
	slo := k.budget
	if slo == 0 {
		slo = b.config.DefaultSLO
	}
	b.count("handed over")
	b.forgetStored()
	read := &k.claimed.Read
	tenant, _ := protocol.InboxOwner(k.reply)
	x := &entry{c: k.client, model: k.model, tenant: tenant, bytes: k.claimed.Bytes, arrived: b.Now, deadline: b.Now.Add(slo),
		payload: len(read.Payload), batch: read.Batch, generated: read.Generated}
	if code := b.accept(x, true); code != "" {
		if code == protocol.Overloaded {
			if !b.isOver(k) {
				b.failf("G3: front door %d has no room for a request that it has claimed", b.door.id)
			}
			b.count("waited for room")
			code = protocol.BufferTimeout
		}
		b.refuseKept(k, code)
		return
	}
	b.tookOver++
}

// ownerEnded: requests that are not being claimed are left to the next owner.
func (b *books) keeperEnded() {
	b.unclaimed = nil
	for id, k := range b.undecided {
		if k.retryAt != protocol.Never {
			delete(b.undecided, id)
		}
		k.shared, k.left = true, true
	}
	for _, k := range b.claiming {
		k.shared, k.left = true, true
	}
}

// bufferLost: waiting requests are refused. A claim in progress may have succeeded before
// the loss, so it is decided by its reply.
func (b *books) bufferLost() {
	lost := b.unclaimed
	b.unclaimed = nil
	for id, k := range b.undecided {
		if k.lost = k.retryAt == protocol.Never; !k.lost {
			delete(b.undecided, id)
			lost = append(lost, k)
		}
	}
	for _, k := range b.claiming {
		k.lost = true
	}
	for _, k := range lost {
		b.refuseLost(k)
	}
}

func (b *books) refuseLost(k *kept) {
	if k.client != nil && !k.shared {
		b.refuseKept(k, protocol.StateUnavailable)
	}
}
