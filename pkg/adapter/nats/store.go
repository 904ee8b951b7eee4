package bus

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"clockwork/pkg/protocol"
)

// On a broker with roles JetStream is in an account of its own, and each user who needs it
// has a second user, in an account that imports what that user may do and nothing else. So
// what the broker answers, on whatever reply subject, stays in an account in which nobody
// but the asker listens (deploy/users.conf.tmpl). That second user's key follows from the
// first: a process has one file.

// StoreKey returns the key of a user's second user.
func StoreKey(seed []byte) (nkeys.KeyPair, error) {
	_, raw, err := nkeys.DecodeSeed(seed)
	if err != nil {
		return nil, errors.New("no seed of an nkey")
	}
	derived, err := hkdf.Key(sha256.New, raw, nil, "clockwork store connection", len(raw))
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return nkeys.FromRawSeed(nkeys.PrefixByteUser, derived)
}

// hasStore reports whether the credentials are of a user with a second one.
func (c Credentials) hasStore() (bool, error) {
	if c.NKey == "" {
		return false, nil
	}
	inbox, err := inboxOf(c.NKey)
	role := protocol.RoleOf(inbox)
	return role != "" && role != "client", err
}

// storeOptions are Options of the second user.
func (c Credentials) storeOptions() ([]nats.Option, error) {
	options, err := c.Options()
	if err != nil {
		return nil, err
	}
	body, err := os.ReadFile(c.NKey)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	defer clear(body)
	seed, err := nkeys.ParseDecoratedNKey(body)
	if err != nil {
		return nil, fmt.Errorf("read key %s: it holds no seed of an nkey", c.NKey)
	}
	secret, err := seed.Seed()
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", c.NKey, err)
	}
	pair, err := StoreKey(secret)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", c.NKey, err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", c.NKey, err)
	}
	return append(options, nats.Nkey(public, pair.Sign)), nil // the last one counts
}

// store is a connection by which a process reaches JetStream.
type store struct {
	nc *nats.Conn
	js jetstream.JetStream
	// api stands in the place of $JS.API., local before $KV., both with their dots.
	api, local string
}

// openStore connects to JetStream; `plain` is the connection for that on a broker without
// roles.
func (b *Bus) openStore(ctx context.Context, name string, plain *nats.Conn, options ...jetstream.JetStreamOpt) (store, error) {
	c := b.config.Credentials
	if b.config.InProcess != nil {
		c = Credentials{} // which are not used then
	}
	return b.reachStore(c, plain, func() (*nats.Conn, error) {
		return b.connect(ctx, b.config.Name+" "+name, c.storeOptions)
	}, options...)
}

// reachStore returns JetStream over `plain` on a broker without roles, else over the
// connection of the user's second user, which connect opens.
func (b *Bus) reachStore(c Credentials, plain *nats.Conn, connect func() (*nats.Conn, error), options ...jetstream.JetStreamOpt) (s store, err error) {
	s = store{nc: plain, api: jetstream.DefaultAPIPrefix}
	second, err := c.hasStore()
	if err != nil {
		return s, err
	}
	if !second {
		s.js, err = jetstream.New(s.nc, options...)
		return s, err
	}
	s.api = b.Subjects.Store() + "."
	s.local = s.api
	if s.nc, err = connect(); err != nil {
		return s, err
	}
	s.js, err = jetstream.NewWithAPIPrefix(s.nc, b.Subjects.Store(), options...)
	return s, err
}
