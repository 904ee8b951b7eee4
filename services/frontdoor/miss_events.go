package frontdoor

import (
	"sync"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// missEvery bounds how often misses are told; a burst of them is one event.
const missEvery = 100 * time.Millisecond

// misses tells of requests that a front door took and could not serve. Any
// goroutine may call it.
type missEvents struct {
	bus *bus.Bus

	mu    sync.Mutex
	count int // since the last event
	last  time.Time
}

// add counts a miss and publishes an event with the latest, unless one was
// published just before: then the next event counts this one too.
func (m *missEvents) add(model string, why *protocol.Error, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	if now.Sub(m.last) < missEvery {
		return
	}
	m.bus.Event(protocol.Event{Kind: protocol.EventMiss, Model: model, Total: m.count, Code: why.Code, Message: why.Message})
	m.count, m.last = 0, now
}
