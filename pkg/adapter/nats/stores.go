package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The first process of a stack creates its streams and buckets if every process may;
// with roles only the operator may, and services wait for them.

// Store is a stream or a bucket of a stack.
type Store struct {
	// Name is the broker's name of the store.
	Name string `json:"name"`
	// Keeps describes the content to people.
	Keeps string `json:"keeps"`
	// Done is Made, Found, or Changed if the store existed with other limits.
	Done string `json:"done"`
}

// The outcomes of MakeStores for a store.
const (
	Made    = "made"
	Found   = "found"
	Changed = "changed"
)

// MakeStores creates every missing stream and bucket of the stack, and sets the limits
// of those that exist. Calling it again changes nothing. The bus must not be Bound.
func (b *Bus) MakeStores(ctx context.Context, buffer BufferConfig) ([]Store, error) {
	var stores []Store
	type made struct {
		bucket
		stream string
		open   func() error
	}
	all := []made{}
	for _, k := range buckets {
		all = append(all, made{k, "KV_" + b.bucket(k.kind), func() error { _, err := b.openBucket(ctx, k); return err }})
	}
	all = append(all, made{bucket{kind: "buffer", keeps: "requests that wait for activation"}, b.bucket("buffer"),
		func() error { _, err := b.OpenBuffer(ctx, buffer); return err }})
	for _, s := range all {
		before, err := b.limitsOf(ctx, s.stream)
		if err == nil {
			err = s.open()
		}
		after := before
		if err == nil {
			after, err = b.limitsOf(ctx, s.stream)
		}
		if err != nil {
			return stores, fmt.Errorf("make %s: %w", b.bucket(s.kind), b.whyDenied(err))
		}
		store := Store{Name: b.bucket(s.kind), Keeps: s.keeps, Done: Found}
		switch {
		case before == limits{}:
			store.Done = Made
		case before != after:
			store.Done = Changed
		}
		stores = append(stores, store)
	}
	return stores, nil
}

// limits are a stream's limits that depend on the stack's settings; zero means no
// stream.
type limits struct {
	bucketLimits
	replicas int
}

// storeTry bounds one request to a JetStream that may not be ready yet.
const storeTry = 2 * time.Second

// limitsOf asks until the broker answers.
func (b *Bus) limitsOf(ctx context.Context, stream string) (limits, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, storeTry)
		s, err := b.JS.Stream(attempt, stream)
		cancel()
		switch {
		case err == nil:
			c := s.CachedInfo().Config
			return limits{limitsIn(c), c.Replicas}, nil
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return limits{}, nil
		}
		if denied := b.denial(); denied != nil {
			return limits{}, denied
		}
		select {
		case <-ctx.Done():
			return limits{}, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// whyDenied replaces an error that follows from a missing permission.
func (b *Bus) whyDenied(err error) error { return cmp.Or(b.denial(), err) }

// denial returns which permission this process lacks, nil if none is known to.
func (b *Bus) denial() error {
	for _, nc := range b.opened {
		if denied := Denied(nc); denied != nil {
			return fmt.Errorf("%w; the operator's key may do it", denied)
		}
	}
	return nil
}

// notMade is the error for a missing store that this process may not create.
func notMade(err error) error { return fmt.Errorf("%w: clockwork init makes it", err) }

// errShortBuffer: the broker would drop requests before this controller answers them.
var errShortBuffer = errors.New("the startup buffer was made for a shorter --buffer-timeout; run clockwork init with this one")

// bufferStream creates the buffer's stream, or on a Bound bus opens the existing one.
func (b *Bus) bufferStream(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig) (jetstream.Stream, error) {
	if !b.config.Bound {
		return js.CreateOrUpdateStream(ctx, c)
	}
	stream, err := js.Stream(ctx, c.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, notMade(err)
	case err == nil && stream.CachedInfo().Config.MaxAge < c.MaxAge:
		return nil, errShortBuffer
	}
	return stream, err
}
