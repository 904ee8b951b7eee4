package frontdoor

import (
	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
)

// allowances are what a front door's clients may have of it, counted one by one.
type allowances struct {
	config     *Config
	slow       counted
	stores     counted
	inStore    []*entry // what was stored, and counts for its tenant until its time is over
	storedAll  int64
	tokens     map[string]float64 // of tenants with a rate
	tokensFrom map[string]protocol.Time
}

// counted are the slots that tenants have.
type counted map[string]int

func (c counted) taken() (n int) {
	for _, of := range c {
		n += of
	}
	return n
}

// room reports whether a tenant may have n of most; one with a name a quarter.
func (c counted) room(tenant string, n, most int) bool {
	return c.taken()+n <= most && (tenant == "" || c[tenant]+n <= most/4)
}

func newAllowances(c *Config) allowances {
	return allowances{config: c, slow: counted{}, stores: counted{}, tokens: map[string]float64{}, tokensFrom: map[string]protocol.Time{}}
}

// inbound: a message is a request, or is refused for the first reason that holds.
func (b *books) inbound(e *Inbound, out *Output) {
	c := b.clients[e.Reply]
	if b.want.ignored = !c.mayBeAnswered(); b.want.ignored {
		b.happens("ignored")
		return
	}
	b.received++
	x := &entry{c: c, phase: decoding, model: e.Model, tenant: e.Tenant, bytes: e.Bytes, arrived: b.now, accepting: b.serves()}
	if b.want.refused = b.refuses(e, x); b.want.refused != "" {
		b.answered++
		return
	}
	b.want.admitted = true
	b.taking[out.Admitted] = x
}

func (b *books) refuses(e *Inbound, x *entry) protocol.Code {
	switch {
	case !protocol.ValidName(e.Model):
		return protocol.UnknownModel
	case e.Tenant != "" && !protocol.ValidName(e.Tenant):
		return protocol.BadMessage
	case x.accepting && !b.models[e.Model]:
		return protocol.UnknownModel
	}
	b.forgetStored()
	if code := b.exceeds(x); code != "" {
		return code
	}
	b.spend(x.tenant)
	if e.Slow && !b.takeSlow(x) {
		return protocol.Overloaded
	}
	return ""
}

func (b *books) takeSlow(x *entry) bool {
	n := 1
	if x.bytes > b.config.LargeBody {
		n = b.config.LargeSlots
	}
	if !b.slow.room(x.tenant, n, b.config.SlowSlots) {
		return false
	}
	x.slots = n
	b.slow[x.tenant] += n
	return true
}

// giveBack ends the decoding of a request.
func (b *books) giveBack(x *entry) {
	b.slow[x.tenant] -= x.slots
	x.slots = 0
}

// exceeds says which limit a request would exceed, its tenant's first.
func (b *books) exceeds(x *entry) protocol.Code {
	if code := b.exceeding(b.limitOf(x.tenant), x, func(o *entry) bool { return o.tenant == x.tenant }, x.tenant); code != "" {
		return code
	}
	return b.exceeding(b.limitOfModel(x.model), x, func(o *entry) bool { return o.model == x.model }, "")
}

func (b *books) exceeding(l quota.Limit, x *entry, same func(*entry) bool, paced string) protocol.Code {
	requests, bytes := b.used(same)
	switch {
	case requests+1 > l.Requests:
		return protocol.LimitExceeded
	case int64(x.bytes) > l.Bytes:
		return protocol.PayloadTooLarge
	case bytes+int64(x.bytes) > l.Bytes:
		return protocol.LimitExceeded
	case l.Burst > 1 && b.fill(paced, l) < 1:
		return protocol.LimitExceeded
	}
	return ""
}

func (b *books) limitOf(tenant string) quota.Limit {
	if l, own := b.config.Limits.Tenants[tenant]; own {
		return l
	}
	return quota.Unlimited
}

func (b *books) limitOfModel(model string) quota.Limit {
	if l, own := b.config.Limits.Models[model]; own {
		return l
	}
	return quota.Unlimited
}

// used is what requests have of a limit: from their arrival until their outcome is
// known; those that were stored until their time there is over.
func (b *books) used(same func(*entry) bool) (requests, bytes int64) {
	add := func(x *entry) {
		if same(x) {
			requests, bytes = requests+1, bytes+int64(x.bytes)
		}
	}
	for _, x := range b.taking {
		add(x)
	}
	for _, x := range b.open {
		if x.phase == waiting {
			add(x)
		}
	}
	for _, x := range b.inStore {
		add(x)
	}
	return requests, bytes
}

// fill has the tokens of a tenant come that it has earned.
func (b *books) fill(tenant string, l quota.Limit) float64 {
	at, seen := b.tokensFrom[tenant]
	if !seen {
		b.tokens[tenant] = l.Burst
	}
	b.tokens[tenant] = min(l.Burst, b.tokens[tenant]+l.Rate*b.now.Sub(at).Seconds())
	b.tokensFrom[tenant] = b.now
	return b.tokens[tenant]
}

func (b *books) spend(tenant string) {
	if _, paced := b.tokens[tenant]; paced {
		b.tokens[tenant]--
	}
}

// forgetStored gives back the limits of what was stored: once somebody serves, or in
// the order in which it was stored.
func (b *books) forgetStored() {
	for len(b.inStore) > 0 && (b.serves() || b.now >= b.inStore[0].arrived.Add(b.config.BufferTimeout)) {
		b.inStore = b.inStore[1:]
	}
}

// decoded: a request is served if somebody serves since it came, else stored.
func (b *books) decoded(e *Decoded) {
	x := b.taking[e.Request]
	b.giveBack(x)
	x.deadline = x.arrived.Add(e.SLO)
	x.payload, x.batch, x.generated = len(e.Payload), e.Batch, e.Generated
	switch {
	case x.accepting:
		delete(b.taking, e.Request)
		if code := b.accept(x); code != "" {
			b.rejects(e.Request, x, code)
		}
	case !b.stores.room(x.tenant, 1, b.config.StoreSlots):
		b.rejects(e.Request, x, protocol.BufferFull)
	default:
		b.stores[x.tenant]++
		x.phase = storing
		b.want.store = true
	}
}

// rejects refuses a request that was admitted.
func (b *books) rejects(r *Request, x *entry, code protocol.Code) {
	delete(b.taking, r)
	b.answered++
	b.want.rejected, b.want.refused = x.c, code
}

func (b *books) stored(e *Stored) {
	x := b.taking[e.Request]
	b.stores[x.tenant]--
	if e.Fault != nil {
		b.rejects(e.Request, x, e.Fault.Code)
		return
	}
	delete(b.taking, e.Request)
	b.inStore = append(b.inStore, x)
	b.storedAll++
}

// accept takes a request in, and submits it if there is somebody to submit it to.
func (b *books) accept(x *entry) protocol.Code {
	if int64(x.payload) > b.config.MaxPayload {
		return protocol.PayloadTooLarge
	}
	b.seq++
	count, bytes := 0, 0
	for _, o := range b.open {
		if o.phase == waiting {
			count, bytes = count+1, bytes+o.payload
		}
	}
	if count >= b.config.MaxInFlight || int64(bytes+x.payload) > b.config.MaxInFlightBytes {
		return protocol.Overloaded
	}
	x.seq, x.phase, x.breaks, x.dispatched = b.seq, waiting, b.breaks, map[string]bool{}
	b.open[x.seq] = x
	b.submits(x)
	return ""
}

// submits: a request that has time left goes to the scheduler in charge.
func (b *books) submits(x *entry) {
	if b.epoch == 0 || b.now >= x.deadline {
		return
	}
	if x.submitted != 0 {
		b.happens("submitted again")
	}
	x.submitted = b.epoch
	b.want.submit = append(b.want.submit, x)
}
