package bench

import (
	"sync"

	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// book holds the open requests of a connection. A token is an entry's index and
// its use count, so that a late answer to an abandoned request does not match a
// later request.
type book struct {
	mu      sync.Mutex
	entries []entry
	free    []uint32
}

type entry struct {
	workload.Arrival
	sent protocol.Time
	// expires is when the request counts as NoAnswer.
	expires protocol.Time
	uses    uint32
	open    bool
}

// enter opens a request and returns its token.
func (b *book) enter(a workload.Arrival, sent, expires protocol.Time) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) == 0 {
		b.free = append(b.free, uint32(len(b.entries)))
		b.entries = append(b.entries, entry{})
	}
	at := b.free[len(b.free)-1]
	b.free = b.free[:len(b.free)-1]
	e := &b.entries[at]
	e.Arrival, e.sent, e.expires, e.open = a, sent, expires, true
	e.uses++
	return uint64(e.uses)<<32 | uint64(at)
}

// leave closes a request and returns when it was sent; false if it is not open.
func (b *book) leave(token uint64) (a workload.Arrival, sent protocol.Time, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := uint32(token)
	if int(at) >= len(b.entries) || !b.entries[at].open || b.entries[at].uses != uint32(token>>32) {
		return workload.Arrival{}, 0, false
	}
	return b.close(at), b.entries[at].sent, true
}

// close closes an entry; the caller holds mu.
func (b *book) close(at uint32) workload.Arrival {
	b.entries[at].open = false
	b.free = append(b.free, at)
	return b.entries[at].Arrival
}

// chunk is the number of entries that expired scans before it releases the lock.
const chunk = 4096

// expired closes and returns the requests that have expired.
func (b *book) expired(now protocol.Time) (gone []workload.Arrival) {
	for from := 0; ; from += chunk {
		b.mu.Lock()
		for at := from; at < min(from+chunk, len(b.entries)); at++ {
			if e := &b.entries[at]; e.open && e.expires <= now {
				gone = append(gone, b.close(uint32(at)))
			}
		}
		more := from+chunk < len(b.entries)
		b.mu.Unlock()
		if !more {
			return gone
		}
	}
}

// open returns the number of open requests.
func (b *book) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries) - len(b.free)
}
