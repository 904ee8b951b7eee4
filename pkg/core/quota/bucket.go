package quota

import (
	"math"
	"time"
)

// bucket is a token bucket: each request takes one token, tokens arrive at Rate,
// and at most Burst are kept. The zero value is a new, full bucket.
type bucket struct {
	// tokens is the number of requests that may be taken now. It is below 0 only for an
	// unlimited rate, where it has no effect.
	tokens float64
	// at is when tokens was last updated, zero for a new bucket.
	at time.Time
}

// fill adds the tokens that arrived since the last fill. A clock that went back adds
// none.
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
