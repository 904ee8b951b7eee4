package frontdoor

import (
	"maps"
	"slices"

	"clockwork/pkg/protocol"
)

// keeping is what a front door knows of the startup buffer while it keeps it.
type keeping struct {
	unclaimed []*kept
	claiming  []*kept              // in the order in which they are handed over
	undecided map[BufferedID]*kept // answered, though the store did not say who has them
	tookOver  int64                // requests that it answers as their keeper
}

// kept is a request in the startup buffer.
type kept struct {
	*message
	arrived protocol.Time
	known   bool // the model, when it was claimed
	claimed *Claimed
	retryAt protocol.Time
}

func newKeeping() keeping { return keeping{undecided: map[BufferedID]*kept{}} }

func (b *books) bufferSeen(e *BufferSeen) {
	if b.undecided[e.BufferedID] != nil || slices.ContainsFunc(b.claiming, func(k *kept) bool { return k.id() == e.BufferedID }) {
		return
	}
	age := min(max(0, e.Age), b.config.BufferTimeout)
	b.unclaimed = append(b.unclaimed, &kept{message: e.Driver.(*message), arrived: b.now.Add(-age)})
}

func (b *books) isOver(k *kept) bool { return b.now >= k.arrived.Add(b.config.BufferTimeout) }

// keepBuffer: a request is claimed when somebody serves, or its time is over; those
// before it first, so many at a time.
func (b *books) keepBuffer() {
	for len(b.unclaimed) > 0 && len(b.claiming) < b.config.Claims && (b.serving() || b.isOver(b.unclaimed[0])) {
		k := b.unclaimed[0]
		k.known = b.models[k.model]
		b.unclaimed, b.claiming = b.unclaimed[1:], append(b.claiming, k)
		b.want.claims = append(b.want.claims, k.id())
	}
	for _, id := range slices.SortedFunc(maps.Keys(b.undecided), inOrder) {
		if k := b.undecided[id]; b.now >= k.retryAt {
			k.retryAt = protocol.Never
			b.want.claims = append(b.want.claims, id)
		}
	}
}

// bufferDue is when the first request's time is over that can be claimed then, or one
// is to be claimed again.
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
		if again := b.undecided[c.BufferedID] != nil; c.Read == again || c.Known != b.models[c.Model] {
			b.failf("G3: front door %d claims %+v", b.door.id, c)
		}
	}
	if !slices.Equal(got, b.want.claims) {
		b.failf("G3: front door %d claims %v, expected %v", b.door.id, got, b.want.claims)
	}
}

// claimed: what was claimed is handed over in order.
func (b *books) claimed(e *Claimed) {
	if k := b.undecided[e.BufferedID]; k != nil {
		if e.Unknown {
			k.retryAt = b.now.Add(claimAgain)
		} else {
			delete(b.undecided, e.BufferedID)
		}
		return
	}
	for _, k := range b.claiming {
		if k.id() == e.BufferedID {
			k.claimed = e
		}
	}
	for len(b.claiming) > 0 && b.claiming[0].claimed != nil {
		k := b.claiming[0]
		b.claiming = b.claiming[1:]
		b.handOver(k)
	}
}

// handOver: the one that claimed a request answers it, or serves it from now on. One
// whose time was over is refused, unless somebody serves by now.
func (b *books) handOver(k *kept) {
	c := k.claimed
	if c.Unknown {
		k.retryAt = b.now.Add(claimAgain)
		b.undecided[k.id()] = k
	}
	switch {
	case k.client == nil: // nobody may be answered there
	case c.Unknown:
		b.refusesKept(k, protocol.StateUnavailable)
	case !c.Mine: // somebody else answers it
	case !b.serving() && b.isOver(k):
		b.refusesKept(k, protocol.BufferTimeout)
	case c.Fault != nil:
		b.refusesKept(k, c.Fault.Code)
	case !k.known:
		b.refusesKept(k, protocol.UnknownModel)
	default:
		b.servesKept(k)
	}
}

func (b *books) refusesKept(k *kept, code protocol.Code) {
	b.tookOver++
	b.gives(&entry{c: k.client, fault: code})
}

// servesKept begins the SLO of a request. No limit refuses what was let in before, but a
// front door that is full does.
func (b *books) servesKept(k *kept) {
	slo := k.budget
	if slo == 0 {
		slo = b.config.DefaultSLO
	}
	b.happens("handed over")
	b.forgetStored()
	read := &k.claimed.Read
	tenant, _ := protocol.InboxOwner(k.reply)
	x := &entry{c: k.client, model: k.model, tenant: tenant, bytes: k.claimed.Bytes, arrived: b.now, deadline: b.now.Add(slo),
		payload: len(read.Payload), batch: read.Batch, generated: read.Generated}
	if code := b.accept(x); code != "" {
		b.refusesKept(k, code)
		return
	}
	b.tookOver++
}

// bufferLost: what waited in it has an error.
func (b *books) bufferLost() {
	all := append(b.claiming, b.unclaimed...)
	b.unclaimed, b.claiming, b.undecided = nil, nil, map[BufferedID]*kept{}
	for _, k := range all {
		if k.client != nil {
			b.refusesKept(k, protocol.StateUnavailable)
		}
	}
}
