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
	list := map[string]time.Duration{}
	for _, q := range h.Quarantined {
		list[q.Name] = q.Left
	}
	l.mu.Lock()
	before := l.quarantined
	l.quarantined, l.quarantinedBy = list, h.ID
	l.mu.Unlock()
	for _, q := range h.Quarantined {
		if _, known := before[q.Name]; !known {
			l.bus.NoticeEvent(q.Name, protocol.Event{Kind: protocol.EventQuarantine, Model: q.Name, Message: crashing(q.Left)})
		}
	}
}

// schedulerLost forgets what a scheduler refuses that has fallen silent: a new epoch begins
// without quarantines.
func (l *leader) schedulerLost(h protocol.Heartbeat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.ID == l.quarantinedBy {
		l.quarantined, l.quarantinedBy = nil, ""
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
		if left, is := l.quarantined[m.Name]; is && m.Quarantined == "" {
			m.Quarantined = crashing(left)
		}
	}
}

// countQuarantined counts the models that are not served: those of the machine, and those
// that the scheduler refuses now.
func (l *leader) countQuarantined(machine map[string]string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(machine)
	for model := range l.quarantined {
		if machine[model] == "" {
			n++
		}
	}
	return n
}
