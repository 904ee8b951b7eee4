package quota

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

var began = time.Unix(1_700_000_000, 0)

func after(d time.Duration) time.Time { return began.Add(d) }

// refused takes a request that must be refused by a limit.
func refused(t *testing.T, l *Ledger, tenant, model string, bytes int64, now time.Time, of string) *protocol.Error {
	t.Helper()
	_, refusal := l.Take(tenant, model, bytes, now)
	if refusal == nil || refusal.Code != protocol.LimitExceeded || refusal.LimitOf != of || !refusal.Retryable {
		t.Fatalf("a request of %s for %s with %d bytes: %+v, want a refusal by %s", tenant, model, bytes, refusal, of)
	}
	return refusal
}

// taken takes a request that must be let in.
func taken(t *testing.T, l *Ledger, tenant, model string, bytes int64, now time.Time) Share {
	t.Helper()
	share, refusal := l.Take(tenant, model, bytes, now)
	if refusal != nil {
		t.Fatalf("a request of %q for %s with %d bytes: %v", tenant, model, bytes, refusal)
	}
	return share
}

func rules(tenant, model Limit) Rules {
	return Rules{Others: tenant, Anonymous: Unlimited, OtherModels: model}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	l := New(rules(Limit{Requests: 2, Bytes: None, Rate: Unlimited.Rate, Burst: 1}, Unlimited))
	first := taken(t, l, "alice", "m", 1, began)
	taken(t, l, "alice", "n", 1, began)
	refusal := refused(t, l, "alice", "m", 1, began, "tenant.requests")
	if refusal.Got != 3 || refusal.Limit != 2 || refusal.RetryMS != 0 {
		t.Errorf("refused with %+v", refusal)
	}
	taken(t, l, "bob", "m", 1, began) // has his own
	taken(t, l, "", "m", 1, began)    // and those without a name theirs
	l.Return(first)
	taken(t, l, "alice", "m", 1, began)
	refused(t, l, "alice", "m", 1, began, "tenant.requests")
}

func TestBytesInFlightAreBounded(t *testing.T) {
	l := New(rules(Limit{Requests: None, Bytes: 100, Rate: Unlimited.Rate, Burst: 1}, Unlimited))
	first := taken(t, l, "alice", "m", 60, began)
	refusal := refused(t, l, "alice", "m", 41, began, "tenant.bytes")
	if refusal.Got != 101 || refusal.Limit != 100 {
		t.Errorf("refused with %+v", refusal)
	}
	if _, refusal := l.Take("alice", "m", 101, began); refusal == nil || refusal.Code != protocol.PayloadTooLarge || refusal.Retryable || refusal.Got != 101 || refusal.Limit != 100 {
		t.Errorf("a request that never fits: %+v", refusal)
	}
	taken(t, l, "alice", "m", 40, began)
	l.Return(first)
	taken(t, l, "alice", "m", 60, began)
}

func TestARateIsKeptAndABurstLetPass(t *testing.T) {
	l := New(rules(Limit{Requests: None, Bytes: None, Rate: 100, Burst: 5}, Unlimited))
	for range 5 {
		taken(t, l, "alice", "m", 1, began)
	}
	if refusal := refused(t, l, "alice", "m", 1, began, "tenant.rate"); refusal.RetryMS != 10 || refusal.Limit != 100 {
		t.Errorf("refused with %+v", refusal)
	}
	if refusal := refused(t, l, "alice", "m", 1, after(4*time.Millisecond), "tenant.rate"); refusal.RetryMS != 6 {
		t.Errorf("4 ms later: %+v", refusal)
	}
	taken(t, l, "alice", "m", 1, after(10*time.Millisecond)) // what was refused took no token
	refused(t, l, "alice", "m", 1, after(10*time.Millisecond), "tenant.rate")
	for range 5 { // no more than the burst is kept
		taken(t, l, "alice", "m", 1, after(time.Hour))
	}
	refused(t, l, "alice", "m", 1, after(time.Hour), "tenant.rate")
	refused(t, l, "alice", "m", 1, after(time.Minute), "tenant.rate") // a clock that goes back gives nothing
}

// TestOverAnyWhileNoMoreThanTheRateAndOneBurst pass, however they come.
func TestOverAnyWhileNoMoreThanTheRateAndOneBurst(t *testing.T) {
	const rate, burst = 100, 7
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 0))
		l := New(rules(Limit{Requests: None, Bytes: None, Rate: rate, Burst: burst}, Unlimited))
		var passed []time.Duration
		for now := time.Duration(0); now < 5*time.Second; now += time.Duration(dice.Int64N(int64(4 * time.Millisecond))) {
			if _, refusal := l.Take("alice", "m", 1, after(now)); refusal == nil {
				passed = append(passed, now)
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				if most := burst + 1e-6 + rate*(passed[j]-passed[i]).Seconds(); float64(j-i+1) > most {
					t.Fatalf("seed %d: %d passed from %v to %v", seed, j-i+1, passed[i], passed[j])
				}
			}
		}
		if len(passed) < 5*rate-rate/10 {
			t.Errorf("seed %d: %d of %d were let pass", seed, len(passed), 5*rate)
		}
	}
}

// TestWhoIsRefusedByOneLimitTakesNothingOfAnother: the model's limit does not use
// the tenant's tokens up.
func TestWhoIsRefusedByOneLimitTakesNothingOfAnother(t *testing.T) {
	l := New(rules(Limit{Requests: 10, Bytes: 100, Rate: 1, Burst: 2}, Limit{Requests: 1, Bytes: None, Rate: Unlimited.Rate, Burst: 1}))
	taken(t, l, "alice", "m", 1, began)
	for range 20 {
		refusal := refused(t, l, "alice", "m", 1, began, "model.requests")
		if refusal.Got != 2 || refusal.Limit != 1 {
			t.Errorf("refused with %+v", refusal)
		}
	}
	taken(t, l, "alice", "n", 1, began)
	refused(t, l, "alice", "n", 1, began, "tenant.rate")
	refused(t, l, "bob", "m", 1, began, "model.requests") // all share it
}

func TestWhatWasLetPassBeforeCountsAndIsNotRefused(t *testing.T) {
	l := New(rules(Limit{Requests: 1, Bytes: None, Rate: 1, Burst: 1}, Unlimited))
	shares := []Share{l.Hold("alice", "m", 1, began), l.Hold("alice", "m", 1, began)}
	refused(t, l, "alice", "m", 1, began, "tenant.requests")
	for _, s := range shares {
		l.Return(s)
	}
	taken(t, l, "alice", "m", 1, began)
}

// TestNamesThatAreMadeUpTakeBoundedMemory: those who have nothing are forgotten,
// and where all have something, newcomers share what one may have.
func TestNamesThatAreMadeUpTakeBoundedMemory(t *testing.T) {
	l := New(rules(Limit{Requests: 1, Bytes: None, Rate: Unlimited.Rate, Burst: 1}, Unlimited))
	for i := range 3 * maxAccounts {
		now := after(time.Duration(i) * time.Millisecond)
		l.Return(taken(t, l, fmt.Sprint("idle-", i), "m", 1, now))
	}
	if n := len(l.tenants.accounts); n > maxAccounts {
		t.Errorf("%d accounts", n)
	}
	now := after(time.Hour)
	var shares []Share
	for i := range maxAccounts {
		now = now.Add(sweepEvery)
		shares = append(shares, taken(t, l, fmt.Sprint("busy-", i), "m", 1, now))
	}
	crowd := taken(t, l, "late-1", "m", 1, now)
	refused(t, l, "late-2", "m", 1, now, "tenant.requests")
	refused(t, l, "busy-7", "m", 1, now, "tenant.requests") // is counted still
	l.Return(crowd)
	taken(t, l, "late-2", "m", 1, now)
	for _, s := range shares {
		l.Return(s)
	}
	taken(t, l, "late-3", "m", 1, now.Add(sweepEvery))
	if n := len(l.tenants.accounts); n != 1 {
		t.Errorf("%d accounts after all gave back what they had", n)
	}
}

// TestNothingIsLeftWhenAllIsGivenBack, whatever came in which order.
func TestNothingIsLeftWhenAllIsGivenBack(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	l := New(rules(Limit{Requests: 6, Bytes: 330, Rate: 700, Burst: 10}, Limit{Requests: 8, Bytes: 500, Rate: 3000, Burst: 30}))
	var shares []Share
	refusals := map[string]int{}
	for i := range 20000 {
		now := after(time.Duration(i) * 100 * time.Microsecond)
		if len(shares) > 0 && dice.IntN(3) == 0 {
			at := dice.IntN(len(shares))
			l.Return(shares[at])
			shares[at] = shares[len(shares)-1]
			shares = shares[:len(shares)-1]
			continue
		}
		share, refusal := l.Take(fmt.Sprint("t", dice.IntN(3)), fmt.Sprint("m", dice.IntN(2)), dice.Int64N(120), now)
		if refusal != nil {
			refusals[refusal.LimitOf]++
			continue
		}
		shares = append(shares, share)
		for _, of := range []struct {
			book  book
			limit Limit
		}{{l.tenants, l.rules.Others}, {l.models, l.rules.OtherModels}} {
			for name, a := range of.book.accounts {
				if a.requests > of.limit.Requests || a.bytes > of.limit.Bytes || a.tokens < 0 {
					t.Fatalf("%s has %+v", name, a)
				}
			}
		}
	}
	for _, s := range shares {
		l.Return(s)
	}
	for _, b := range []book{l.tenants, l.models} {
		for name, a := range b.accounts {
			if a.requests != 0 || a.bytes != 0 {
				t.Errorf("%s has %+v", name, a)
			}
		}
	}
	for _, of := range []string{"tenant.requests", "tenant.bytes", "tenant.rate", "model.requests", "model.bytes"} {
		if refusals[of] == 0 {
			t.Errorf("none was refused by %s: %v", of, refusals)
		}
	}
}

func TestByDefaultNoThreeTenantsKeepAFourthOut(t *testing.T) {
	l := New(Default(1000, 1000))
	for _, tenant := range []string{"a", "b", "c"} {
		for range 250 {
			taken(t, l, tenant, "m", 1, began)
		}
		refused(t, l, tenant, "m", 0, began, "tenant.requests")
	}
	for range 250 {
		taken(t, l, "d", "m", 1, began)
	}
	for range 1000 { // who has no name has no limit
		taken(t, l, "", "m", 1, began)
	}
}

func BenchmarkTakeAndReturn(b *testing.B) {
	l := New(rules(Limit{Requests: 100, Bytes: 1 << 20, Rate: 1e9, Burst: 1e9}, Limit{Requests: 100, Bytes: 1 << 20, Rate: 1e9, Burst: 1e9}))
	for i := range b.N {
		share, refusal := l.Take("alice", "resnet50", 600_000, after(time.Duration(i)))
		if refusal != nil {
			b.Fatal(refusal)
		}
		l.Return(share)
	}
}
