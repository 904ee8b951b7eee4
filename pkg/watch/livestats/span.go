package livestats

import (
	"sync"
	"sync/atomic"
	"time"
)

// turn is after how long the older half of what was counted is forgotten.
const turn = 5 * time.Second

// span counts in two halves, so that what is told is always of the last 5 to 10 s. T
// is what is counted; its zero value is of nothing. It is counted only while watched.
type span[T any] struct {
	watched atomic.Bool

	mu           sync.Mutex // guards what follows
	older, newer half[T]
}

type half[T any] struct {
	began time.Time
	of    T
}

// Watch begins to count from nothing, or ends that.
func (s *span[T]) Watch(on bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none T
	s.older, s.newer = half[T]{now, none}, half[T]{now, none}
	s.watched.Store(on)
}

// count has f count, if anybody watches.
func (s *span[T]) count(f func(*T)) {
	if !s.watched.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.newer.of)
}

// read has f read both halves, and returns how long they last.
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
