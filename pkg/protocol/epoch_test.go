package protocol

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Leaders are elected one after the other, on hosts whose clocks differ and are set. Where the
// store is kept, each has a higher number than the one before, and everybody whose clock is
// within a day of the others' believes it.
func TestNumbersOfLeadersGrow(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 4))
	now, stored := time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC), uint64(0)
	host := func() time.Time { return now.Add(time.Duration(rng.Int64N(int64(TermAhead / 2)))) }
	for range 10000 {
		now = now.Add(time.Duration(rng.Int64N(int64(2 * time.Second))))
		next := NextTerm(host(), stored)
		if next <= stored {
			t.Fatalf("number %d after %d", next, stored)
		}
		if at := host(); !CredibleTerm(at, next) {
			t.Fatalf("number %d is not believed at %v", next, at)
		}
		stored = next
	}
}

// A number that nobody can have is believed by nobody and followed by nobody: the next leader
// has one that everybody believes.
func TestAnAbsurdNumberOfALeaderEndsNothing(t *testing.T) {
	now := time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC)
	for _, absurd := range []uint64{1<<64 - 1, 1 << 63, 1 << 53, uint64(now.Add(TermAhead).UnixMicro()) + 1} {
		if CredibleTerm(now, absurd) {
			t.Errorf("%d is believed", absurd)
		}
		if next := NextTerm(now, absurd); next != uint64(now.UnixMicro()) || !CredibleTerm(now, next) {
			t.Errorf("%d is followed by %d", absurd, next)
		}
	}
	if last := uint64(now.Add(TermAhead).UnixMicro()); !CredibleTerm(now, last) || NextTerm(now, last) != last+1 {
		t.Errorf("%d is the last one that is believed", last)
	}
	if NextTerm(time.Unix(-5, 0), 0) != 1 || NextTerm(time.Unix(-5, 0), 7) != 8 {
		t.Error("a clock before 1970")
	}
}
