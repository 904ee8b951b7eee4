package quota

import "time"

// maxAccounts bounds the tenants, and the models, that are counted separately:
// on an open broker anybody can invent names.
const maxAccounts = 4096

// book holds accounts by name. An account without requests and with a full
// bucket is equivalent to a new one, and is removed when space is needed.
//
// Invariant: an account in use is never removed, so a Share may keep a pointer to it.
type book struct {
	// limit returns the limit of a name; Unlimited names have no account.
	limit func(name string) Limit
	// accounts holds at most maxAccounts.
	accounts map[string]*account
	// swept is when the last sweep began.
	swept time.Time
	// crowd is the one account of all names that find accounts full. Each of these
	// names is checked against its own limit.
	crowd *account
}

// sweepEvery is the minimum interval between two sweeps of a full book.
const sweepEvery = time.Second

func newBook(limit func(string) Limit) book {
	return book{limit: limit, accounts: map[string]*account{}, crowd: &account{}}
}

// account returns the account of name, with its tokens refilled up to now; nil
// if name is unlimited.
func (b *book) account(name string, now time.Time) *account {
	limit := b.limit(name)
	if limit == Unlimited {
		return nil
	}
	a := b.accounts[name]
	if a == nil {
		a = b.open(name, now)
	}
	a.fill(limit, now)
	return a
}

// open adds an account for name, or returns crowd if there is no space.
func (b *book) open(name string, now time.Time) *account {
	if len(b.accounts) >= maxAccounts && now.Sub(b.swept) >= sweepEvery {
		b.sweep(now)
	}
	if len(b.accounts) >= maxAccounts {
		return b.crowd
	}
	a := &account{}
	b.accounts[name] = a
	return a
}

// sweep removes the accounts that are equivalent to new ones.
func (b *book) sweep(now time.Time) {
	b.swept = now
	for name, a := range b.accounts {
		limit := b.limit(name)
		if a.fill(limit, now); a.requests == 0 && a.tokens >= limit.Burst {
			delete(b.accounts, name)
		}
	}
}
