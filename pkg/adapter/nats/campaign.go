package bus

import (
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
// heartbeats (liveness.Candidate). The former holder notices at its next renewal; until
// then epochs fence it.
func (b *Bus) Campaign(ctx context.Context, key string, c Candidate) (*Lease, error) {
	body, err := leaseBody(c.ID, c.Host)
	if err != nil {
		return nil, fmt.Errorf("campaign for %s: %w", key, err)
	}
	campaign := &campaign{bus: b, key: key, body: body, candidate: liveness.NewCandidate(c.ID)}
	ears, err := b.Subscribe(b.Control, b.Subjects.Heartbeat(c.Kind, "*"), func(m *nats.Msg) {
		campaign.step(liveness.Heard{ID: b.Subjects.Token(m.Subject, 2)})
	})
	if err != nil {
		return nil, fmt.Errorf("campaign for %s: %w", key, err)
	}
	defer func() { _ = ears.Unsubscribe() }()
	return b.awaitLease(ctx, key, liveness.CampaignEvery, func() (*Lease, error) { return campaign.attempt(ctx) })
}

// campaign is the shell around a candidate until it is elected.
type campaign struct {
	bus  *Bus
	kv   jetstream.KeyValue
	key  string
	body []byte

	mu        sync.Mutex // guards candidate
	candidate *liveness.Candidate
}

func (c *campaign) step(e liveness.CandidateEvent) liveness.Bid {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.candidate.Step(e)
}

// attempt reads the lease and takes it if the candidate says so, or returns ErrHeld.
func (c *campaign) attempt(ctx context.Context) (*Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, liveness.LeaseTTL)
	defer cancel()
	var err error
	if c.kv == nil {
		if c.kv, err = c.bus.openBucket(ctx, leaseBucket); err != nil {
			return nil, err
		}
	}
	read, err := c.read(ctx)
	if err != nil {
		c.kv = nil // the bucket may be gone
		return nil, fmt.Errorf("read lease %s: %w", c.key, err)
	}
	bid := c.step(read)
	if bid.ReadStore {
		info, err := streamOf(ctx, c.kv)
		if err != nil {
			c.kv = nil
			return nil, fmt.Errorf("read leases: %w", err)
		}
		bid = c.step(liveness.StoreRead{Last: info.State.LastSeq})
	}
	if !bid.Take {
		return nil, ErrHeld
	}
	l := c.bus.newLease(c.kv, c.key, c.body)
	if bid.From == 0 {
		return l, l.create(ctx)
	}
	c.bus.Log.Warn("taking the lease of a silent holder", "lease", c.key, "holder", read.Holder)
	return l, l.swap(ctx, bid.From)
}

// read returns what the store says of the lease.
func (c *campaign) read(ctx context.Context) (liveness.LeaseRead, error) {
	entry, err := c.kv.Get(ctx, c.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return liveness.LeaseRead{}, nil
	}
	if err != nil {
		return liveness.LeaseRead{}, err
	}
	return liveness.LeaseRead{Held: true, Holder: valueOf(entry.Value()).ID, Revision: entry.Revision()}, nil
}

func leaseBody(id, host string) ([]byte, error) {
	return json.Marshal(wire.StoredLease{ID: id, Host: host, Nonce: nats.NewInbox()})
}

// valueOf decodes the value of a lease; it is zero if the value is not ours.
func valueOf(body []byte) (v wire.StoredLease) {
	if decodeStored(body, &v) != nil {
		return wire.StoredLease{}
	}
	return v
}
