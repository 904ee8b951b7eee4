package controller

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// heardQuarantined takes the models that the active scheduler refuses for their crashes, and
// publishes an event for each that is new.
func (l *leader) heardQuarantined(h protocol.Heartbeat) {
	if h.State != protocol.SchedulerActive {
		return
	}
	now, list := time.Now(), map[string]time.Time{}
	for _, q := range h.Quarantined {
		list[q.Name] = now.Add(q.Left)
	}
	l.mu.Lock()
	before := l.quarantined
	l.quarantined = list
	l.mu.Unlock()
	for _, q := range h.Quarantined {
		if _, known := before[q.Name]; !known {
			l.bus.NoticeEvent(q.Name, protocol.Event{Kind: protocol.EventQuarantine, Model: q.Name, Message: crashing(q.Left)})
		}
	}
}

func crashing(left time.Duration) string {
	return fmt.Sprintf("its executions ended or hung what executed them; served again in %v", left.Round(time.Second))
}

// showQuarantined adds the reason to models that the scheduler refuses now.
func (l *leader) showQuarantined(models []protocol.ModelState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range models {
		m := &models[i]
		if until, is := l.quarantined[m.Name]; is && m.Quarantined == "" {
			if left := time.Until(until); left > 0 {
				m.Quarantined = crashing(left)
			}
		}
	}
}

// countQuarantined counts the models that are not served: those of the machine, and those
// that the scheduler refuses now.
func (l *leader) countQuarantined(machine map[string]string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(machine)
	for model, until := range l.quarantined {
		if machine[model] == "" && time.Until(until) > 0 {
			n++
		}
	}
	return n
}
