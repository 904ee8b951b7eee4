package quota

import (
	"math"
	"time"
)

// bucket holds tokens, of which each request takes one. They come at a rate, and
// no more than burst are kept. Its zero value has never been used and is full.
type bucket struct {
	tokens float64
	at     time.Time // when there were so many
}

// fill adds what has come since the bucket was looked at.
func (b *bucket) fill(l Limit, now time.Time) {
	if b.at.IsZero() {
		b.tokens = l.Burst
	} else if passed := now.Sub(b.at); passed > 0 {
		b.tokens += l.Rate * passed.Seconds()
	}
	b.tokens = min(b.tokens, l.Burst)
	b.at = now
}

// wait is how long it takes until a token is there, 0 if one is. The bucket was
// filled.
func (b *bucket) wait(l Limit) time.Duration {
	if b.tokens >= 1 {
		return 0
	}
	seconds := (1 - b.tokens) / l.Rate
	if seconds > forever.Seconds() {
		return forever
	}
	return max(1, time.Duration(math.Ceil(seconds*float64(time.Second))))
}

// forever is how long a wait can be at most.
const forever = time.Hour
