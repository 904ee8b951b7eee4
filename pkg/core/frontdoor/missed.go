package frontdoor

import (
	"time"

	"clockwork/pkg/protocol"
)

// missEvery is the least time between two Output.Missed: a burst of misses is told once.
const missEvery = 100 * time.Millisecond

// Missed tells of requests that were taken and not served: the first one's Model and Refusal
// since the last that was told, and how many there were.
type Missed struct {
	Model   string
	Refusal *protocol.Error
	Count   int
}

// misses are those that were not told yet, as one Missed; the next is told from `next` on. fresh:
// this step had one.
type misses struct {
	Missed
	next  protocol.Time
	fresh bool
}

func (m *Machine) missed(model string, refusal *protocol.Error) {
	if m.misses.Count == 0 {
		m.misses.Missed = Missed{Model: model, Refusal: refusal}
	}
	m.misses.Count++
	m.misses.fresh = true
}

// tellMissed outputs what was missed, in a step with a miss.
func (m *Machine) tellMissed() {
	fresh := m.misses.fresh
	m.misses.fresh = false
	if !fresh || m.now < m.misses.next {
		return
	}
	told := m.misses.Missed
	m.out.Missed = &told
	m.misses = misses{next: m.now.Add(missEvery)}
}
