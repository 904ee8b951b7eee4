package bus

import (
	"strings"
	"sync"
	"time"
)

// maxBad bounds what is logged of an error over a bad message, in bytes: it may quote the
// message.
const maxBad = 300

// BadMessage logs that a message cannot be used, at most once a second for each kind:
// others send them, at any rate. what begins the line, and is a constant.
func (b *Bus) BadMessage(what, subject string, err error) {
	count := b.bad.limiter(what).Add(time.Now())
	if count == 0 {
		return
	}
	text := err.Error()
	if len(text) > maxBad {
		text = strings.ToValidUTF8(text[:maxBad], "") + "..."
	}
	b.Log.Warn(what, "subject", subject, "count", count, "error", text)
}

// badMessages has a limiter for each kind of message.
type badMessages struct {
	mu   sync.Mutex
	kind map[string]*LogLimiter
}

func (b *badMessages) limiter(kind string) *LogLimiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kind == nil {
		b.kind = map[string]*LogLimiter{}
	}
	if b.kind[kind] == nil {
		b.kind[kind] = &LogLimiter{}
	}
	return b.kind[kind]
}
