package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/protocol"
)

// ProbeStore checks whether JetStream answers, and whether it takes a write once the
// stack's buckets exist: reads succeed also on a full disk. It asks as the user of these
// credentials, or over plain if the broker has no roles, and returns how many streams there
// are.
func ProbeStore(ctx context.Context, url, prefix string, c Credentials, plain *nats.Conn, options ...nats.Option) (streams int, err error) {
	if err := checkVersion(plain); err != nil {
		return 0, err
	}
	inbox, err := c.inbox()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	options = append(options, OnDenied(func() {
		cancel(protocol.Errorf(protocol.PermissionDenied, "%s may not look into what the stack keeps", KeyText(inbox)))
	}))
	defer func() {
		if refusal := new(protocol.Error); err != nil && errors.As(context.Cause(ctx), &refusal) {
			err = refusal
		}
	}()
	b := &Bus{Subjects: protocol.Subjects{Prefix: prefix}}
	s, err := b.reachStore(c, plain, func() (*nats.Conn, error) {
		own, err := c.storeOptions()
		if err != nil {
			return nil, err
		}
		return Connect(url, append(own, options...)...)
	})
	if s.nc != nil && s.nc != plain {
		defer s.nc.Close()
	}
	if err != nil {
		return 0, err
	}
	info, err := s.js.AccountInfo(ctx)
	if err != nil {
		return 0, err
	}
	// Each role writes one key, so that nobody fills the bucket.
	key := cmp.Or(protocol.RoleOf(inbox), "anybody")
	return info.Streams, s.write(ctx, b.bucket(healthBucket.kind), key)
}

// write writes to the bucket of health checks, if there is one.
func (s *store) write(ctx context.Context, bucket, key string) error {
	_, err := s.js.Stream(ctx, "KV_"+bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err == nil {
		_, err = s.js.Publish(ctx, s.local+"$KV."+bucket+"."+key, nil)
	}
	if err != nil {
		return fmt.Errorf("the store takes no writes: %w", err)
	}
	return nil
}
