package metrics

import (
	"maps"
	"sync"
	"sync/atomic"

	"clockwork/pkg/protocol"
)

// other is the label value for everything beyond the bound, and for invalid names.
const other = "other"

// bounded holds a value for each of the first `most` keys, and one for all others
// together. Reading an existing value takes no lock.
type bounded[K comparable, V any] struct {
	most int
	make func(K) V
	rest func() V

	seen atomic.Pointer[map[K]V] // copied on write
	mu   sync.Mutex              // held by writers
}

func newBounded[K comparable, V any](most int, make func(K) V, rest func() V) *bounded[K, V] {
	b := &bounded[K, V]{most: most, make: make, rest: rest}
	b.seen.Store(&map[K]V{})
	return b
}

// newNamed is newBounded for the values of one label.
func newNamed[V any](most int, of func(name string) V) *bounded[string, V] {
	rest := sync.OnceValue(func() V { return of(other) })
	return newBounded(most, func(name string) V {
		if name == other || !protocol.ValidName(name) {
			return rest()
		}
		return of(name)
	}, rest)
}

// of returns the value of a key.
func (b *bounded[K, V]) of(key K) V {
	seen := *b.seen.Load()
	if v, ok := seen[key]; ok {
		return v
	}
	if len(seen) >= b.most {
		return b.rest()
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
	if len(seen) >= b.most {
		return b.rest()
	}
	more := make(map[K]V, len(seen)+1)
	maps.Copy(more, seen)
	more[key] = b.make(key)
	b.seen.Store(&more)
	return more[key]
}
