package quota

import "time"

// maxAccounts bounds how many tenants, and how many models, are counted apart: on
// an open broker anybody can make up names.
const maxAccounts = 4096

// book holds accounts by name. One that has nothing and spent nothing is as good
// as a new one, and is forgotten when room is needed.
type book struct {
	limit    func(name string) Limit
	accounts map[string]*account
	swept    time.Time
	crowd    *account // of all for whom no room was left
}

// sweepEvery is how often a full book looks at most for accounts to forget.
const sweepEvery = time.Second

func newBook(limit func(string) Limit) book {
	return book{limit: limit, accounts: map[string]*account{}, crowd: &account{}}
}

// account finds who has a limit, with the tokens that came until now; nil for who
// has none.
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

// sweep forgets who has nothing.
func (b *book) sweep(now time.Time) {
	b.swept = now
	for name, a := range b.accounts {
		limit := b.limit(name)
		if a.fill(limit, now); a.requests == 0 && a.tokens >= limit.Burst {
			delete(b.accounts, name)
		}
	}
}
