package frontdoor

import (
	"sync"
	"testing"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
)

// TestG1ABrokenConnectionIsReportedFirst: an event that arrived after a reconnect would
// otherwise hide how long the connection was broken, and which scheduler was active.
func TestG1ABrokenConnectionIsReportedFirst(t *testing.T) {
	seen := &eventRecorder{}
	s := newStack(t)
	s.config.Observers = frontdoor.Observers{seen}
	s.frontDoor()
	d := s.door
	d.mu.Lock()
	d.reconnects-- // the bus has reconnected since
	seen.clear()
	d.mu.Unlock()
	d.onScheduler(protocol.Heartbeat{ID: "s2", State: protocol.SchedulerActive, Epoch: 2})
	if c, is := seen.first().(*frontdoor.Connection); !is || c.Breaks != 1 {
		t.Errorf("first came %T %+v", seen.first(), seen.first())
	}
}

// eventRecorder keeps the events of a front door's core.
type eventRecorder struct {
	mu     sync.Mutex
	events []frontdoor.Event
}

func (r *eventRecorder) Begin(frontdoor.Config) {}

func (r *eventRecorder) Step(_ protocol.Time, e frontdoor.Event, _ *frontdoor.Output) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *eventRecorder) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

func (r *eventRecorder) first() frontdoor.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		return nil
	}
	return r.events[0]
}
