package bus

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A probe of the store writes: a store that is read and takes no write is not healthy.
// Before the stack's buckets exist there is nothing to write to.
func TestAProbeOfTheStoreWrites(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	probe := func() (int, error) { return ProbeStore(ctx, "", "clockwork", Credentials{}, b.Control) }
	if streams, err := probe(); err != nil || streams != 0 {
		t.Errorf("without buckets: %d streams, %v", streams, err)
	}
	if err := b.OpenLeases(ctx); err != nil {
		t.Fatal(err)
	}
	if streams, err := probe(); err != nil || streams != 5 {
		t.Errorf("with buckets: %d streams, %v", streams, err)
	}
	kv, err := b.JS.KeyValue(ctx, "clockwork_health")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(ctx, "anybody"); err != nil {
		t.Errorf("nothing was written: %v", err)
	}
	full := healthBucket.config("clockwork_health", 1)
	full.Sealed = true // as a store without room
	if _, err := b.JS.UpdateStream(ctx, full); err != nil {
		t.Fatal(err)
	}
	if _, err := probe(); err == nil || !strings.Contains(err.Error(), "takes no writes") {
		t.Errorf("a full store: %v", err)
	}
	if _, err := kv.Get(ctx, "other"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("the full store is not read: %v", err)
	}
}
