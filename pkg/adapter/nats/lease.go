package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/liveness"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrHeld: a live process holds the lease.
var ErrHeld = errors.New("another process holds it")

// Lease is a name that one process holds at a time: "controller", "scheduler",
// "profiler", "worker.<id>". Leases are in buckets of their own, without history and with
// a time to live.
//
// A holder that cannot renew keeps working until it sees that another process holds the
// lease (Lost): epochs and terms (State.Lead), not leases, fence operations that must not be
// done twice.
type Lease struct {
	bus    *Bus
	kv     jetstream.KeyValue
	key    string // in kv
	holder []byte
	// again takes the lease after it has expired, where that needs more than to write it;
	// nil otherwise. until then is what the key may have from an attempt to take it.
	again func(context.Context) (revision uint64, err error)
	until []byte

	mu       sync.Mutex // guards revision, and is held while the lease is written
	revision uint64
	lost     chan struct{}
	stop     chan struct{}
	vanish   chan struct{} // ends renewal without releasing the lease; for tests of a dead holder
	done     chan struct{}
	once     sync.Once
}

// Acquire takes the lease or returns ErrHeld at once. holder is shown to people.
func (b *Bus) Acquire(ctx context.Context, key, holder string) (*Lease, error) {
	kv, at, err := b.openLease(ctx, key)
	if err != nil {
		return nil, err
	}
	body, err := leaseBody("", holder)
	if err != nil {
		return nil, fmt.Errorf("acquire %s: %w", key, err)
	}
	l := b.newLease(kv, at, body)
	return l, l.create(ctx)
}

func (b *Bus) newLease(kv jetstream.KeyValue, key string, body []byte) *Lease {
	return &Lease{bus: b, kv: kv, key: key, holder: body,
		lost: make(chan struct{}), stop: make(chan struct{}), vanish: make(chan struct{}), done: make(chan struct{})}
}

// create takes a lease without a holder.
func (l *Lease) create(ctx context.Context) error {
	revision, err := l.kv.Create(ctx, l.key, l.holder)
	return l.begin(revision, err)
}

// swap takes a lease from the process that held it at a revision.
func (l *Lease) swap(ctx context.Context, held uint64) error {
	revision, err := l.kv.Update(ctx, l.key, l.holder, held)
	return l.begin(revision, err)
}

// begin starts renewing the lease written at a revision.
func (l *Lease) begin(revision uint64, err error) error {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return ErrHeld
	}
	if err != nil {
		return fmt.Errorf("acquire %s: %w", l.key, explained(err))
	}
	l.revision = revision
	go l.keep()
	return nil
}

// openLease opens the bucket that a lease is in, and returns its key there.
func (b *Bus) openLease(ctx context.Context, lease string) (jetstream.KeyValue, string, error) {
	of, key := leaseBucket, lease
	if worker, is := strings.CutPrefix(lease, "worker."); is {
		of, key = nameBucket, worker
	}
	kv, err := b.openBucket(ctx, of)
	return kv, key, err
}

// OpenLeases opens every bucket of leases, those of epochs and of health checks, and creates
// those that do not exist: holders write their leases into them again when they renew. A
// Bound bus opens the services' alone.
func (b *Bus) OpenLeases(ctx context.Context) error {
	for _, k := range []bucket{leaseBucket, epochBucket, nameBucket, deviceBucket, healthBucket} {
		if b.config.Bound && k.kind != leaseBucket.kind {
			continue
		}
		if _, err := b.openBucket(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// Holder returns the holder of a lease, as passed to Acquire or as a Candidate's host;
// "" if there is none.
func (b *Bus) Holder(ctx context.Context, key string) (string, error) {
	kv, at, err := b.openLease(ctx, key)
	if err != nil {
		return "", err
	}
	entry, err := kv.Get(ctx, at)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read lease %s: %w", key, err)
	}
	return valueOf(entry.Value()).Host, nil
}

// AcquireWait takes the lease as soon as it has no holder.
func (b *Bus) AcquireWait(ctx context.Context, key, holder string) (*Lease, error) {
	return b.awaitLease(ctx, key, acquireEvery, func() (*Lease, error) { return b.Acquire(ctx, key, holder) })
}

// acquireEvery is the interval of AcquireWait's attempts.
const acquireEvery = 200 * time.Millisecond

// awaitLease repeats attempt until it succeeds or ctx ends.
func (b *Bus) awaitLease(ctx context.Context, key string, every time.Duration, attempt func() (*Lease, error)) (*Lease, error) {
	var complaint Complaint
	for {
		l, err := attempt()
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, ErrHeld) {
			complaint.Warn(b.Log, time.Now(), "lease not reached", err, "lease", key)
		}
		if !clock.Pause(ctx, every) {
			if denied := b.denial(); denied != nil && !errors.Is(err, ErrHeld) {
				err = denied
			}
			return nil, fmt.Errorf("acquire %s: %w: %w", key, ctx.Err(), err)
		}
	}
}

// Lost is closed when another process holds the lease.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release releases the lease.
func (l *Lease) Release() {
	l.once.Do(func() { close(l.stop) })
	<-l.done
}

func (l *Lease) keep() {
	defer close(l.done)
	every := time.NewTicker(liveness.RenewEvery)
	defer every.Stop()
	for {
		select {
		case <-l.vanish:
			return
		case <-l.stop:
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			l.mu.Lock()
			defer l.mu.Unlock()
			_ = l.kv.Delete(ctx, l.key, jetstream.LastRevision(l.revision)) // on failure the lease expires
			return
		case <-every.C:
			if !l.renew() {
				close(l.lost)
				return
			}
		}
	}
}

// renew writes the lease again, and takes it anew if it has expired. It returns false if
// another process holds it.
func (l *Lease) renew() bool {
	ctx, cancel := context.WithTimeout(context.Background(), liveness.RenewEvery)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	revision, err := l.kv.Update(ctx, l.key, l.holder, l.revision)
	l.bus.health.wrote(err)
	if err == nil {
		l.revision = revision
		return true
	}
	l.bus.Log.Debug("lease not renewed", "lease", l.key, "error", err)
	found := l.look(ctx)
	if found != expired {
		return found != taken
	}
	if l.again != nil {
		revision, err = l.again(ctx)
		if errors.Is(err, ErrHeld) {
			return false
		}
	} else {
		revision, err = l.kv.Create(ctx, l.key, l.holder)
	}
	if err == nil {
		l.revision = revision
		return true
	}
	// That the key exists does not mean that another process holds it: an earlier
	// renewal may have arrived only now, or the marker of the expired lease may have
	// expired meanwhile.
	l.bus.Log.Debug("expired lease not renewed", "lease", l.key, "error", err)
	return l.look(ctx) != taken
}

// Confirm returns nil if this process holds the lease at this moment, and ErrHeld if
// another one holds it. Any other error says that it is not known.
func (l *Lease) Confirm(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	for range 2 { // a second time if an earlier write did arrive, whose outcome was not known
		var revision uint64
		if revision, err = l.kv.Update(ctx, l.key, l.holder, l.revision); err == nil {
			l.revision = revision
			return nil
		}
		if found := l.look(ctx); found == taken {
			return ErrHeld
		} else if found != own {
			break
		}
	}
	return fmt.Errorf("confirm lease %s: %w", l.key, err)
}

// holding is what the store says about a lease.
type holding int

// The store does not answer; the lease is this process'; nobody has it; another process
// has it.
const (
	unknown holding = iota
	own
	expired
	taken
)

// look reads who has the lease, and its revision if that is this process. The caller
// holds the lock.
func (l *Lease) look(ctx context.Context) holding {
	entry, err := l.kv.Get(ctx, l.key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return expired
	case err != nil:
		return unknown
	case l.until != nil && string(entry.Value()) == string(l.until):
		return expired
	case string(entry.Value()) != string(l.holder):
		return taken
	}
	l.revision = entry.Revision()
	return own
}
