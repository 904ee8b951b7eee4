package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Candidate is a process that campaigns for a lease. It sends heartbeats as (Kind, ID)
// while it is a standby and while it holds the lease.
type Candidate struct {
	Kind protocol.ServiceKind
	ID   string
	Host string // for people
}

// Campaign takes a lease as soon as it has no holder, or the holder has stopped sending
// heartbeats (liveness.Succession). The former holder notices at its next renewal; until
// then epochs fence it.
func (b *Bus) Campaign(ctx context.Context, key string, c Candidate) (*Lease, error) {
	body, err := leaseBody(c.ID, c.Host)
	if err != nil {
		return nil, fmt.Errorf("campaign for %s: %w", key, err)
	}
	campaign := &campaign{bus: b, key: key, body: body, beats: liveness.Succession{Self: c.ID}}
	ears, err := b.Subscribe(b.Control, b.Subjects.Heartbeat(c.Kind, "*"), func(m *nats.Msg) {
		campaign.onHeartbeat(b.Subjects.Token(m.Subject, 2))
	})
	if err != nil {
		return nil, fmt.Errorf("campaign for %s: %w", key, err)
	}
	defer func() { _ = ears.Unsubscribe() }()
	return b.awaitLease(ctx, key, liveness.CampaignEvery, func() (*Lease, error) { return campaign.attempt(ctx) })
}

// campaign is the state of one candidate until it is elected.
type campaign struct {
	bus  *Bus
	kv   jetstream.KeyValue
	key  string
	body []byte
	seen uint64 // the last revision at which another process held the lease

	mu    sync.Mutex // guards beats
	beats liveness.Succession
}

func (c *campaign) onHeartbeat(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beats.Heard(id)
}

// silent reports whether a holder has stopped sending heartbeats; "" is the last known
// holder.
func (c *campaign) silent(holder string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beats.Silent(cmp.Or(holder, c.beats.Holder()))
}

// attempt takes the lease, or returns ErrHeld.
func (c *campaign) attempt(ctx context.Context) (*Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, liveness.LeaseTTL)
	defer cancel()
	var err error
	if c.kv == nil {
		if c.kv, err = c.bus.openBucket(ctx, leaseBucket); err != nil {
			return nil, err
		}
	}
	entry, err := c.kv.Get(ctx, c.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return c.take(ctx)
	}
	if err != nil {
		c.kv = nil // the bucket may be gone
		return nil, fmt.Errorf("read lease %s: %w", c.key, err)
	}
	c.seen = entry.Revision()
	if !c.silent(holderOf(entry.Value())) {
		return nil, ErrHeld
	}
	c.bus.Log.Warn("taking the lease of a silent holder", "lease", c.key, "holder", string(entry.Value()))
	l := c.bus.newLease(c.kv, c.key, c.body)
	return l, l.swap(ctx, entry.Revision())
}

// take takes a lease without a holder. If the store was lost, the last known holder
// first gets the time to take the lease again: it has the stored state in memory.
func (c *campaign) take(ctx context.Context) (*Lease, error) {
	if c.seen > 0 && !c.silent("") {
		info, err := streamOf(ctx, c.kv)
		if err != nil {
			c.kv = nil
			return nil, fmt.Errorf("read leases: %w", err)
		}
		if info.State.LastSeq < c.seen {
			return nil, ErrHeld
		}
	}
	l := c.bus.newLease(c.kv, c.key, c.body)
	return l, l.create(ctx)
}

func leaseBody(id, host string) ([]byte, error) {
	return json.Marshal(wire.StoredLease{ID: id, Host: host, Nonce: nats.NewInbox()})
}

func holderOf(body []byte) string { return valueOf(body).ID }

// valueOf decodes the value of a lease; it is zero if the value is not ours.
func valueOf(body []byte) (v wire.StoredLease) {
	if decodeStored(body, &v) != nil {
		return wire.StoredLease{}
	}
	return v
}
