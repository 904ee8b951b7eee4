package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
)

// other is the value of a label that is shared by whatever came after the bound was
// reached.
const other = "other"

// bounded has a value for each of the first keys, and one for all others together.
// Reading one that is there takes no lock.
type bounded[K comparable, V any] struct {
	most int
	make func(K) V
	rest func() V // made when it is needed

	seen atomic.Pointer[map[K]V] // never changed, but replaced

	mu     sync.Mutex // of who makes
	beyond atomic.Pointer[V]
}

func newBounded[K comparable, V any](most int, make func(K) V, rest func() V) *bounded[K, V] {
	b := &bounded[K, V]{most: most, make: make, rest: rest}
	b.seen.Store(&map[K]V{})
	return b
}

// of returns the value of a key.
func (b *bounded[K, V]) of(key K) V {
	if v, ok := (*b.seen.Load())[key]; ok {
		return v
	}
	if v := b.beyond.Load(); v != nil {
		return *v
	}
	return b.add(key)
}

func (b *bounded[K, V]) add(key K) V {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := *b.seen.Load()
	if v, ok := seen[key]; ok {
		return v
	}
	if len(seen) < b.most {
		more := make(map[K]V, len(seen)+1)
		maps.Copy(more, seen)
		more[key] = b.make(key)
		b.seen.Store(&more)
		return more[key]
	}
	if v := b.beyond.Load(); v != nil {
		return *v
	}
	v := b.rest()
	b.beyond.Store(&v)
	return v
}
