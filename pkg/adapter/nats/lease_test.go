package bus

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// slowStore is a bucket in which something happens between two operations of a process.
type slowStore struct {
	jetstream.KeyValue
	afterGet func() // called once, after a Get that found nothing
}

func (s *slowStore) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	entry, err := s.KeyValue.Get(ctx, key)
	if err != nil && s.afterGet != nil {
		happen := s.afterGet
		s.afterGet = nil
		happen()
	}
	return entry, err
}

// refusing answers every Create like a store whose marker of an expired key expired
// between two operations of Create.
type refusing struct{ jetstream.KeyValue }

func (refusing) Create(context.Context, string, []byte, ...jetstream.KVCreateOpt) (uint64, error) {
	return 0, jetstream.ErrKeyExists
}

// expiredLease returns a lease that is not renewed by itself, after it has expired.
func expiredLease(t *testing.T, b *Bus, key string) *Lease {
	t.Helper()
	ctx := limited(t)
	l, err := b.Acquire(ctx, key, "holder")
	if err != nil {
		t.Fatal(err)
	}
	close(l.vanish)
	<-l.done
	if err := l.kv.Delete(ctx, l.key); err != nil {
		t.Fatal(err)
	}
	return l
}

// Only a value of another process means that a lease is lost. What a stalled broker does
// in another order than it was asked must not look like another process.
func TestALeaseIsLostOnlyToAnotherProcess(t *testing.T) {
	ctx := limited(t)
	b := open(t)

	// An earlier renewal, given up by its sender, arrives after the store was read.
	l := expiredLease(t, b, "worker.w0")
	store := l.kv
	put := func(value []byte) func() {
		return func() {
			if _, err := store.Put(ctx, l.key, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.kv = &slowStore{store, put(l.holder)}
	for followed := false; !followed; { // a busy broker may not answer in time
		if !l.renew() {
			t.Fatal("a late renewal of its own looks like another process")
		}
		entry, err := store.Get(ctx, l.key)
		if ctx.Err() != nil {
			t.Fatalf("revision %d is followed, the store has %v, %v", l.revision, entry, err)
		}
		followed = err == nil && l.revision == entry.Revision()
	}

	l = expiredLease(t, b, "worker.w1")
	l.kv = refusing{l.kv}
	if !l.renew() {
		t.Error("a refused write looks like another process, although nobody has the lease")
	}

	l = expiredLease(t, b, "worker.w2")
	l.kv = &slowStore{store, put([]byte(`{"id":"other"}`))}
	for l.renew() {
		if ctx.Err() != nil {
			t.Fatal("another process has it")
		}
	}
}
