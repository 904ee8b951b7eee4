package controller

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// TestQuarantinesAreThoseOfTheActiveSchedulersHeartbeat: how long they last the scheduler's
// core alone decides. They end with the scheduler.
func TestQuarantinesAreThoseOfTheActiveSchedulersHeartbeat(t *testing.T) {
	l := &leader{quarantined: map[string]time.Duration{"a": time.Nanosecond}, quarantinedBy: "s1"}
	shown := func() string {
		models := []protocol.ModelState{{ModelSpec: protocol.ModelSpec{Name: "a"}}}
		l.showQuarantined(models)
		return models[0].Quarantined
	}
	time.Sleep(time.Millisecond)
	if shown() == "" || l.countQuarantined(map[string]string{"a": "why"}) != 1 || l.countQuarantined(map[string]string{"b": "why"}) != 2 {
		t.Error("a model that the scheduler said it refuses is not shown")
	}
	l.schedulerLost(protocol.Heartbeat{ID: "s2"})
	if shown() == "" {
		t.Error("forgotten with another scheduler")
	}
	l.schedulerLost(protocol.Heartbeat{ID: "s1"})
	if shown() != "" || l.countQuarantined(nil) != 0 {
		t.Error("a quarantine outlives its scheduler")
	}
}
