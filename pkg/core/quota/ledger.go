package quota

import (
	"math"
	"time"

	"clockwork/pkg/protocol"
)

// Ledger counts the requests and bytes of tenants and models. Names without a
// limit are not counted.
//
// Invariant: the requests and bytes of an account are the sums over the shares taken or
// held and not returned.
type Ledger struct {
	// rules do not change.
	rules Rules
	// tenants and models are separate books: a tenant and a model may have one name.
	tenants book
	models  book
}

// New returns an empty ledger.
func New(rules Rules) *Ledger {
	l := &Ledger{rules: rules}
	l.tenants = newBook(func(name string) Limit { return l.rules.tenant(name) })
	l.models = newBook(func(name string) Limit { return l.rules.model(name) })
	return l
}

// Share is one request's part of its tenant's and its model's limit, from Take
// until Return.
type Share struct {
	// tenant and model are the accounts that count the request; nil if unlimited.
	tenant, model *account
	// bytes is the length of the message, as received.
	bytes int64
}

// account is the usage of one tenant or one model.
type account struct {
	// requests counts the requests in flight; bytes is the sum of their messages.
	requests int64
	bytes    int64
	// bucket limits the requests per second. Returning a share gives no token back.
	bucket
}

// Take admits a request, or returns the limit that it would exceed:
// LIMIT_EXCEEDED, or PAYLOAD_TOO_LARGE if the request alone exceeds the limit. A
// refused request takes nothing from any limit.
func (l *Ledger) Take(tenant, model string, bytes int64, now time.Time) (Share, *protocol.Error) {
	ofTenant, ofModel := l.rules.tenant(tenant), l.rules.model(model)
	share := l.share(tenant, model, bytes, now)
	if share.tenant != nil {
		if refusal := share.tenant.check(ofTenant, bytes, "tenant", tenant); refusal != nil {
			return Share{}, refusal
		}
	}
	if share.model != nil {
		if refusal := share.model.check(ofModel, bytes, "model", model); refusal != nil {
			return Share{}, refusal
		}
	}
	share.add(1)
	share.spend()
	return share, nil
}

// Hold counts a request that was admitted before, regardless of the limits and without
// taking a token.
func (l *Ledger) Hold(tenant, model string, bytes int64, now time.Time) Share {
	share := l.share(tenant, model, bytes, now)
	share.add(1)
	return share
}

// Return releases a share. It must be called exactly once per share.
func (l *Ledger) Return(s Share) { s.add(-1) }

// share returns the accounts of tenant and model, refilled up to now.
func (l *Ledger) share(tenant, model string, bytes int64, now time.Time) Share {
	return Share{l.tenants.account(tenant, now), l.models.account(model, now), bytes}
}

// add adds the request to its accounts (sign 1) or removes it (sign -1).
func (s Share) add(sign int64) {
	for _, a := range []*account{s.tenant, s.model} {
		if a != nil {
			a.requests += sign
			a.bytes += sign * s.bytes
		}
	}
}

// spend takes one token from each account.
func (s Share) spend() {
	for _, a := range []*account{s.tenant, s.model} {
		if a != nil {
			a.tokens--
		}
	}
}

// check returns the limit that a request would exceed, nil for none. The error's LimitOf,
// Got and Limit say which limit, and by how much; for a rate, RetryMS is when the next
// request is admitted. kind is "tenant" or "model".
func (a *account) check(l Limit, bytes int64, kind, name string) *protocol.Error {
	var e *protocol.Error
	switch wait := a.wait(l); {
	case a.requests+1 > l.Requests:
		e = refusal("%s may have %d requests in flight at a front door, and has %d", who(kind, name), l.Requests, a.requests)
		e.LimitOf, e.Got, e.Limit = kind+".requests", a.requests+1, l.Requests
	case bytes > l.Bytes:
		e = protocol.Errorf(protocol.PayloadTooLarge, "a request of %d bytes, and %s may have %d in flight at a front door", bytes, who(kind, name), l.Bytes)
		e.LimitOf, e.Got, e.Limit = kind+".bytes", bytes, l.Bytes
	case bytes > l.Bytes-a.bytes:
		e = refusal("%s may have %d bytes of requests in flight at a front door, and would have %d", who(kind, name), l.Bytes, a.bytes+bytes)
		e.LimitOf, e.Got, e.Limit = kind+".bytes", a.bytes+bytes, l.Bytes
	case l.Paced() && wait > 0:
		e = refusal("%s may send a front door %v requests a second; the next is taken in %v", who(kind, name), l.Rate, wait.Round(10*time.Microsecond))
		e.LimitOf, e.Limit, e.RetryMS = kind+".rate", int64(math.Ceil(l.Rate)), float64(wait.Microseconds())/1000
	}
	return e
}

func refusal(format string, args ...any) *protocol.Error {
	return protocol.Errorf(protocol.LimitExceeded, format, args...)
}

// who names the owner of a limit for an error message.
func who(kind, name string) string {
	if name == "" {
		return "all clients without a name together"
	}
	return kind + " " + name
}
