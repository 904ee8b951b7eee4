package frontdoor

import (
	"sync"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// missEvery is the minimum interval between two miss events; a burst of misses
// is one event.
const missEvery = 100 * time.Millisecond

// missEvents publishes events about requests that a front door took and could
// not serve. Any goroutine may call it.
type missEvents struct {
	bus *bus.Bus

	mu    sync.Mutex
	count int // since the last event
	last  time.Time
}

// add counts a miss and publishes an event about it, unless the last event was
// less than missEvery ago: then the next event counts it.
func (m *missEvents) add(model string, refusal *protocol.Error, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	if now.Sub(m.last) < missEvery {
		return
	}
	m.bus.Event(protocol.Event{Kind: protocol.EventMiss, Model: model, Total: m.count, Code: refusal.Code, Message: refusal.Message})
	m.count, m.last = 0, now
}
