package livestats

import (
	"sync"
	"sync/atomic"
	"time"
)

// turn is the age at which the newer half becomes the older one and the older is
// dropped.
const turn = 5 * time.Second

// span counts in two halves, so that what is read always covers the last 5 to 10 s. T
// holds the counts; its zero value is empty. It counts only while watched.
type span[T any] struct {
	watched atomic.Bool

	mu           sync.Mutex // guards the fields below
	older, newer half[T]
}

type half[T any] struct {
	began time.Time
	of    T
}

// Watch starts counting from zero, or stops.
func (s *span[T]) Watch(on bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none T
	s.older, s.newer = half[T]{now, none}, half[T]{now, none}
	s.watched.Store(on)
}

// count calls f with the newer half, if the span is watched.
func (s *span[T]) count(f func(*T)) {
	if !s.watched.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.newer.of)
}

// read calls f with both halves and returns how much time they cover.
func (s *span[T]) read(now time.Time, f func(older, newer *T)) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.older.of, &s.newer.of)
	lasted := now.Sub(s.older.began)
	if now.Sub(s.newer.began) >= turn {
		var none T
		s.older, s.newer = s.newer, half[T]{now, none}
	}
	return max(lasted, time.Millisecond)
}
