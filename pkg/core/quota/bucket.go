package quota

import (
	"math"
	"time"
)

// bucket is a token bucket: each request takes one token, tokens arrive at Rate,
// and at most Burst are kept. The zero value is a new, full bucket.
type bucket struct {
	tokens float64
	at     time.Time // when tokens was last updated
}

// fill adds the tokens that arrived since the last fill.
func (b *bucket) fill(l Limit, now time.Time) {
	if b.at.IsZero() {
		b.tokens = l.Burst
	} else if passed := now.Sub(b.at); passed > 0 {
		b.tokens += l.Rate * passed.Seconds()
	}
	b.tokens = min(b.tokens, l.Burst)
	b.at = now
}

// wait returns the time until a token is available, 0 if one is. The bucket must
// be filled up to now.
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

// forever is the longest wait that is reported.
const forever = time.Hour
