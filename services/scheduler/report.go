package scheduler

import (
	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// source returns the metrics source of a scheduler.
func (s *Service) source(b *bus.Bus) watch.Source {
	return watch.Source{
		Service: protocol.Scheduler, Name: protocol.DoorName(s.id),
		Ready: b.Unreachable, // a standby is ready to take over
		Bus:   b.Gauges,
		Scheduler: func() watch.Scheduler {
			if t := s.term.Load(); t != nil {
				return t.gauges()
			}
			return watch.Scheduler{}
		},
	}
}

// reportTraced reports a request that is about to be given to the core, if its
// trace is recorded.
func (t *term) reportTraced(r *protocol.Submitted) {
	if !r.Trace.Recorded() {
		return
	}
	now := clock.Now()
	t.hub.Submission(&watch.Submission{ID: r.ID, Trace: r.Trace, Model: r.Model, At: now, Deadline: now.Add(r.Budget)})
}

func (t *term) gauges() watch.Scheduler {
	t.mu.Lock()
	defer t.mu.Unlock()
	return watch.Scheduler{Active: t.core.Active(), Epoch: t.epoch, Workers: t.core.Workers(), Lacking: t.core.Lacking(), Stats: t.core.Stats()}
}
