package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
)

// stand lets a candidate beat, and campaign for the lease of the controller.
func stand(ctx context.Context, t *testing.T, b *Bus, id string) (elected chan *Lease, heartbeats *Heartbeater) {
	t.Helper()
	heartbeats = b.StartHeartbeats(protocol.FrontDoor, id, func() protocol.Heartbeat { return protocol.Heartbeat{Incarnation: 1} })
	elected = make(chan *Lease, 1)
	go func() {
		l, err := b.Campaign(ctx, "controller", Candidate{Kind: protocol.FrontDoor, ID: id, Host: "test"})
		if err == nil {
			elected <- l
		}
		close(elected)
	}()
	return elected, heartbeats
}

// elected is a holder that beats.
func elected(ctx context.Context, t *testing.T, b *Bus, id string) (*Lease, *Heartbeater) {
	t.Helper()
	won, heartbeats := stand(ctx, t, b, id)
	l := <-won
	if l == nil {
		t.Fatalf("%s was not elected", id)
	}
	return l, heartbeats
}

// TestG7ASilentHolderLosesItsLease, also one that goes on renewing it: it hangs.
func TestG7ASilentHolderLosesItsLease(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	first, beats := elected(ctx, t, b, "first")
	won, heartbeats := stand(ctx, t, b, "second")
	defer heartbeats.Stop()
	beats.Stop()
	second := <-won
	if second == nil {
		t.Fatal("nobody took over")
	}
	defer second.Release()
	select {
	case <-first.Lost():
	case <-ctx.Done():
		t.Error("the first one does not learn of it")
	}
}

// TestG7ABeatingHolderKeepsItsLease against one that stands by for longer than a
// silent holder is waited for.
func TestG7ABeatingHolderKeepsItsLease(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	first, beats := elected(ctx, t, b, "first")
	defer beats.Stop()
	won, heartbeats := stand(ctx, t, b, "second")
	defer heartbeats.Stop()
	select {
	case <-won:
		t.Fatal("taken from a holder that lives")
	case <-first.Lost():
		t.Fatal("lost")
	case <-time.After(2 * liveness.TakeoverBeats * protocol.HeartbeatEvery):
	}
	first.Release()
	second := <-won
	if second == nil {
		t.Fatal("a lease that was given back was not taken")
	}
	second.Release()
}

// TestACandidateThatDoesNotHearItselfWaits: it cannot tell a silent holder from
// a silent broker.
func TestACandidateThatDoesNotHearItselfWaits(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	first, beats := elected(ctx, t, b, "first")
	defer first.Release()
	won, heartbeats := stand(ctx, t, b, "second")
	heartbeats.Stop()
	beats.Stop()
	select {
	case <-won:
		t.Fatal("taken without having heard anything")
	case <-time.After(2 * liveness.TakeoverBeats * protocol.HeartbeatEvery):
	}
}

// TestALostStoreLeavesTheLeaseWithItsHolder, who has in memory what was lost.
func TestALostStoreLeavesTheLeaseWithItsHolder(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	first, beats := elected(ctx, t, b, "first")
	defer beats.Stop()
	second := &campaign{bus: b, key: "controller", body: []byte("second"), candidate: liveness.NewCandidate("second")}
	held := func(when string) {
		t.Helper()
		if _, err := second.attempt(ctx); !errors.Is(err, ErrHeld) {
			t.Fatalf("%s: %v, want ErrHeld", when, err)
		}
	}
	held("the first one beats")
	if err := b.JS.DeleteStream(ctx, "KV_"+b.bucket("lease")); err != nil {
		t.Fatal(err)
	}
	_, _ = second.attempt(ctx) // sees that the bucket is gone
	held("a new bucket, and nobody in it")
	first.Release()
	for range liveness.TakeoverBeats { // it beats, and the first one no longer does
		held("not silent for long enough")
		second.step(liveness.Heard{ID: "second"})
	}
	l, err := second.attempt(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
}
