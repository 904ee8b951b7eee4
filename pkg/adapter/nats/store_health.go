package bus

import (
	"fmt"
	"sync"
	"time"

	"clockwork/pkg/core/liveness"
)

// storeHealth is whether the broker's store takes writes, as the renewals of this bus'
// leases show: reads succeed also where nothing can be written, as on a full disk.
type storeHealth struct {
	mu    sync.Mutex // guards the fields below
	since time.Time  // when writes began to fail, zero while they succeed
	err   error      // of the last write
}

// wrote notes the outcome of a write.
func (s *storeHealth) wrote(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = time.Now()
	}
	s.err = err
}

// StoreFault returns why the broker's store takes no writes of this process, nil if it
// does; a failure shorter than the life of a lease does not count. A process without a
// lease does not know.
func (b *Bus) StoreFault() error {
	b.health.mu.Lock()
	defer b.health.mu.Unlock()
	if b.health.since.IsZero() || time.Since(b.health.since) < liveness.LeaseTTL {
		return nil
	}
	return fmt.Errorf("the broker's store takes no writes, for %v: %w", time.Since(b.health.since).Round(time.Second), b.health.err)
}

// Unready returns why a service that keeps its state in the broker cannot do its work,
// "" if it can.
func (b *Bus) Unready() string {
	if away := b.Unreachable(); away != "" {
		return away
	}
	if fault := b.StoreFault(); fault != nil {
		return fault.Error()
	}
	return ""
}
