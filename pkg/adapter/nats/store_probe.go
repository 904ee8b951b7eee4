package bus

import (
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
	s := store{nc: plain, api: jetstream.DefaultAPIPrefix}
	b := &Bus{Subjects: protocol.Subjects{Prefix: prefix}}
	second, err := c.hasStore()
	if err != nil {
		return 0, err
	}
	if second {
		own, err := c.storeOptions()
		if err != nil {
			return 0, err
		}
		if s.nc, err = Connect(url, append(own, options...)...); err != nil {
			return 0, err
		}
		defer s.nc.Close()
		s.local = b.Subjects.Store() + "."
		s.js, err = jetstream.NewWithAPIPrefix(s.nc, b.Subjects.Store())
		if err != nil {
			return 0, err
		}
	} else if s.js, err = jetstream.New(s.nc); err != nil {
		return 0, err
	}
	info, err := s.js.AccountInfo(ctx)
	if err != nil {
		return 0, err
	}
	return info.Streams, s.write(ctx, b.bucket(healthBucket.kind))
}

// write writes to the bucket of health checks, if there is one.
func (s *store) write(ctx context.Context, bucket string) error {
	_, err := s.js.Stream(ctx, "KV_"+bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err == nil {
		_, err = s.js.Publish(ctx, s.local+"$KV."+bucket+"."+HostName(), nil)
	}
	if err != nil {
		return fmt.Errorf("the store takes no writes: %w", err)
	}
	return nil
}
