package bus

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/core/claim"
	"clockwork/pkg/wire"
)

// DeviceUser is a worker that uses devices of its host. It claims them under a key of its
// own, the only one that it may write, so that no worker can fill the bucket or overwrite
// what another says. Who is on another host, and says that it has devices of this one, is
// not believed: a claim proves for each device that its writer knows the host's secret.
type DeviceUser struct {
	Worker string
	// Secret is known on this host alone.
	Secret []byte
	// Inventory are the devices of the host, in order of preference.
	Inventory []string
}

// DeviceLease is a lease of devices. Lost is closed if another worker has one of them.
type DeviceLease struct {
	*Lease
	Devices []string
}

// ClaimDevices takes n devices, or none: ErrHeld if too few are free at the moment, or if
// another worker was faster.
func (b *Bus) ClaimDevices(ctx context.Context, u DeviceUser, n int) (*DeviceLease, error) {
	kv, err := b.openBucket(ctx, deviceBucket)
	if err != nil {
		return nil, err
	}
	others, err := b.claims(ctx, kv, u, 0)
	if err != nil {
		return nil, err
	}
	devices, enough := claim.Choose(u.Inventory, n, others)
	if !enough {
		return nil, ErrHeld
	}
	claimed, held, err := u.values(devices)
	if err != nil {
		return nil, err
	}
	l := b.newLease(kv, u.Worker, held)
	l.until = claimed
	l.again = func(ctx context.Context) (uint64, error) { return b.claim(ctx, l, u, devices) }
	revision, err := l.again(ctx)
	if err != nil {
		return nil, err
	}
	return &DeviceLease{l, devices}, l.begin(revision, nil)
}

// claim takes the steps of pkg/core/claim: it returns the revision of the held claim, or
// ErrHeld.
func (b *Bus) claim(ctx context.Context, l *Lease, u DeviceUser, devices []string) (uint64, error) {
	stored, err := l.kv.Create(ctx, l.key, l.until)
	if errors.Is(err, jetstream.ErrKeyExists) {
		stored, err = l.unfinished(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("claim devices: %w", err)
	}
	others, err := b.claims(ctx, l.kv, u, stored)
	if err != nil {
		return 0, err
	}
	if device := claim.Conflict(claim.Claim{Worker: u.Worker, Stored: stored, Devices: devices}, others); device != "" {
		_ = l.kv.Delete(ctx, l.key, jetstream.LastRevision(stored)) // on failure the claim expires
		return 0, fmt.Errorf("claim %s: %w", device, ErrHeld)
	}
	revision, err := l.kv.Update(ctx, l.key, l.holder, stored)
	if err != nil {
		return 0, fmt.Errorf("hold devices: %w", err)
	}
	return revision, nil
}

// unfinished returns the revision of this process's own claim that it did not come to hold,
// or ErrHeld: a former process of the same name has not expired yet.
func (l *Lease) unfinished(ctx context.Context) (uint64, error) {
	entry, err := l.kv.Get(ctx, l.key)
	if err != nil {
		return 0, err
	}
	if string(entry.Value()) != string(l.until) {
		return 0, ErrHeld
	}
	return entry.Revision(), nil
}

// claims reads what the other workers of this host claim, as of a moment not before a
// revision.
func (b *Bus) claims(ctx context.Context, kv jetstream.KeyValue, u DeviceUser, since uint64) (others []claim.Claim, err error) {
	found := map[string]claim.Claim{}
	prefix := "$KV." + kv.Bucket() + "."
	for at := uint64(0); ; {
		at, err = b.store.scan(ctx, "KV_"+kv.Bucket(), prefix+">", at, func(r record) {
			worker := strings.TrimPrefix(r.subject, prefix)
			delete(found, worker)
			if c := u.read(worker, r); len(c.Devices) > 0 && worker != u.Worker {
				found[worker] = c
			}
		})
		if err != nil {
			return nil, fmt.Errorf("read claims: %w", err)
		}
		if at >= since {
			break
		}
	}
	for _, worker := range slices.Sorted(maps.Keys(found)) {
		others = append(others, found[worker])
	}
	return others, nil
}

// read returns what a worker claims of this host's devices.
func (u DeviceUser) read(worker string, r record) claim.Claim {
	var v wire.StoredClaim
	if r.removed() || decodeStored(r.data, &v) != nil {
		return claim.Claim{}
	}
	c := claim.Claim{Worker: worker, Stored: r.seq, Held: v.Held}
	for _, device := range u.Inventory {
		if proof, is := v.Devices[device]; is && hmac.Equal([]byte(proof), []byte(u.proof(worker, device))) {
			c.Devices = append(c.Devices, device)
		}
	}
	return c
}

// values returns what a worker stores to claim devices, and to hold them.
func (u DeviceUser) values(devices []string) (claimed, held []byte, err error) {
	v := wire.StoredClaim{Devices: map[string]string{}, Nonce: nats.NewInbox()}
	for _, device := range devices {
		v.Devices[device] = u.proof(u.Worker, device)
	}
	if claimed, err = json.Marshal(v); err == nil {
		v.Held = true
		held, err = json.Marshal(v)
	}
	if err == nil && len(held) > claimBytes/2 {
		err = fmt.Errorf("%d devices do not fit into a claim", len(devices))
	}
	return claimed, held, err
}

// proof says that who claims a device as a worker is on its host; no other worker can use
// it.
func (u DeviceUser) proof(worker, device string) string {
	mac := hmac.New(sha256.New, u.Secret)
	mac.Write([]byte(worker + "\x00" + device))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// DeviceHolders returns which worker claims each device of the host, "" for nobody, in the
// order of the inventory.
func (b *Bus) DeviceHolders(ctx context.Context, u DeviceUser) ([]string, error) {
	kv, err := b.openBucket(ctx, deviceBucket)
	if err != nil {
		return nil, err
	}
	u.Worker = "" // its own count too
	all, err := b.claims(ctx, kv, u, 0)
	holders := make([]string, len(u.Inventory))
	for i, device := range u.Inventory {
		holders[i] = claim.Claimant(device, all)
	}
	return holders, err
}
