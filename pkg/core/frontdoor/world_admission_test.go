package frontdoor

import (
	"time"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
)

// allowances are limits and slots, counted request by request.
type allowances struct {
	config     *Config
	slow       counted
	stores     counted
	inStore    []*entry // stored requests, which count until their time is over
	storedAll  int64
	tokens     map[string]float64 // of tenants with a rate
	tokensFrom map[string]protocol.Time
}

// counted are slots by tenant.
type counted map[string]int

func (c counted) taken() (n int) {
	for _, of := range c {
		n += of
	}
	return n
}

// room reports whether n slots are free; a named tenant may have a quarter.
func (c counted) room(tenant string, n, most int) bool {
	return c.taken()+n <= most && (tenant == "" || c[tenant]+n <= most/4)
}

func newAllowances(c *Config) allowances {
	return allowances{config: c, slow: counted{}, stores: counted{}, tokens: map[string]float64{}, tokensFrom: map[string]protocol.Time{}}
}

// inbound: a message is admitted, or refused for the first reason that applies.
func (b *books) inbound(e *Inbound, out *Output) {
	c := b.door.arriving
	if b.want.ignored = !c.mayBeAnswered(); b.want.ignored {
		b.count("ignored")
		return
	}
	b.received++
	x := &entry{c: c, phase: decoding, model: e.Model, tenant: e.Tenant, bytes: e.Bytes, arrived: b.Now, accepting: b.serves()}
	if b.want.refused = b.refusal(e, x); b.want.refused != "" {
		b.answered++
		return
	}
	b.want.admitted = true
	b.taking[out.Admitted] = x
}

func (b *books) refusal(e *Inbound, x *entry) protocol.Code {
	switch {
	case !protocol.ValidName(e.Model):
		return protocol.UnknownModel
	case e.Tenant != "" && !protocol.ValidName(e.Tenant):
		return protocol.BadMessage
	case x.accepting && !b.models[e.Model]:
		return protocol.UnknownModel
	case e.Direct && !x.accepting:
		b.count("direct, too early")
		return protocol.NotActive
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

// exceeds is the code of the first limit that a request exceeds; the tenant's comes first.
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

// used is what counts against a limit: requests from arrival to outcome, and stored ones
// until their time is over.
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

// fill adds the tokens that were due since the last call.
func (b *books) fill(tenant string, l quota.Limit) float64 {
	at, seen := b.tokensFrom[tenant]
	if !seen {
		b.tokens[tenant] = l.Burst
	}
	b.tokens[tenant] = min(l.Burst, b.tokens[tenant]+l.Rate*b.Now.Sub(at).Seconds())
	b.tokensFrom[tenant] = b.Now
	return b.tokens[tenant]
}

func (b *books) spend(tenant string) {
	if _, paced := b.tokens[tenant]; paced {
		b.tokens[tenant]--
	}
}

// forgetStored: stored requests stop counting when a scheduler is active or their time is
// over, in the order in which they were stored.
func (b *books) forgetStored() {
	for len(b.inStore) > 0 && (b.serves() || b.Now >= b.inStore[0].arrived.Add(b.config.BufferTimeout)) {
		b.inStore = b.inStore[1:]
	}
}

// decoded: a request is served if it could be served on arrival; else it is stored.
func (b *books) decoded(e *Decoded) {
	x := b.taking[e.Request]
	b.giveBack(x)
	x.deadline = x.arrived.Add(e.SLO)
	x.payload, x.batch, x.generated = len(e.Payload), e.Batch, e.Generated
	switch {
	case x.accepting:
		delete(b.taking, e.Request)
		if code := b.accept(x, false); code != "" {
			b.reject(e.Request, x, code)
		}
	case !b.stores.room(x.tenant, 1, b.config.StoreSlots):
		b.reject(e.Request, x, protocol.BufferFull)
	default:
		b.stores[x.tenant]++
		x.phase = storing
		b.want.store = true
	}
}

// reject refuses a request that was admitted.
func (b *books) reject(r *Request, x *entry, code protocol.Code) {
	delete(b.taking, r)
	b.answered++
	b.want.rejected, b.want.refused = x.c, code
}

func (b *books) stored(e *Stored) {
	x := b.taking[e.Request]
	b.stores[x.tenant]--
	if e.Fault != nil {
		b.reject(e.Request, x, e.Fault.Code)
		return
	}
	delete(b.taking, e.Request)
	b.inStore = append(b.inStore, x)
	b.storedAll++
}

// accept adds a request to those in flight and submits it. One of a client leaves room for
// the next one of the startup buffer.
func (b *books) accept(x *entry, buffered bool) protocol.Code {
	if int64(x.payload) > b.config.MaxPayload {
		return protocol.PayloadTooLarge
	}
	b.seq++
	count, bytes := b.taken()
	if b.turn >= 0 && !buffered {
		b.count("left room for what waits")
		count, bytes = count+1, bytes+b.turn
	}
	if count >= b.config.MaxInFlight || int64(bytes+x.payload) > b.config.MaxInFlightBytes {
		return protocol.Overloaded
	}
	if own := b.outputsOf(x.tenant); x.tenant != "" && own > 0 && own+8*x.batch > int(b.config.MaxInFlightOutputs)/4 && !buffered {
		b.count("no room for outputs of a client")
		return protocol.LimitExceeded
	}
	if outputs := b.outputs(true); outputs > 0 && outputs+8*x.batch > int(b.config.MaxInFlightOutputs) && !buffered {
		b.count("no room for outputs")
		return protocol.Overloaded
	}
	x.seq, x.phase, x.breaks, x.dispatched, x.early = b.seq, waiting, b.breaks, map[string]bool{}, map[string]*protocol.Output{}
	b.open[x.seq] = x
	b.submit(x)
	return ""
}

// outputs are the bytes that workers may send: of requests in flight, and unless otherwise said
// of those that were answered at their deadline less than 2 s ago, though a worker had them.
func (b *books) outputs(late bool) (bytes int) {
	for _, x := range b.open {
		if x.phase == waiting {
			bytes += 8 * x.batch
		}
	}
	for _, x := range b.tardy {
		if late && b.Now < x.missed.Add(2*time.Second) {
			bytes += 8 * x.batch
		}
	}
	return bytes
}

// outputsOf are those of the requests in flight of one client.
func (b *books) outputsOf(tenant string) (bytes int) {
	for _, x := range b.open {
		if x.phase == waiting && x.tenant == tenant {
			bytes += 8 * x.batch
		}
	}
	return bytes
}

// submit: a request with time left is submitted to the active scheduler.
func (b *books) submit(x *entry) {
	if b.epoch == 0 || b.Now >= x.deadline {
		return
	}
	if x.submitted != 0 {
		b.count("submitted again")
	}
	x.submitted = b.epoch
	b.want.submit = append(b.want.submit, x)
}
