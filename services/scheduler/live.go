package scheduler

import (
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/watch/livestats"
	"clockwork/pkg/wire"
)

// This file shows a running scheduler: its statistics, and explanations of
// single requests.

// reportPredictions makes t.live report the errors of predicted durations to
// predicted.
func (t *term) reportPredictions(predicted *livestats.Scheduler) {
	t.live.Closed = func(c *explain.Closed) {
		if c.OK {
			predicted.Ended(c.Kind, c.Expected, c.Took)
		}
	}
}

// shown is the source of a scheduler's live statistics.
type shown struct {
	*livestats.Scheduler
	service *Service
}

// startLiveStats publishes the live statistics while there are subscribers.
func (s *Service) startLiveStats(b *bus.Bus) (stop func(), err error) {
	f, err := b.StartLiveStats(protocol.Scheduler, protocol.DoorName(s.id), &shown{s.predicted, s})
	return f.Stop, err
}

// LiveStats implements bus.StatsSource.
func (s *shown) LiveStats(now time.Time) protocol.LiveStats {
	f := s.Scheduler.LiveStats(now)
	if t := s.service.term.Load(); t != nil {
		t.liveStats(f.Scheduler)
	}
	return f
}

func (t *term) liveStats(f *protocol.SchedulerStats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats, s := t.core.Stats(), &t.snapshot
	t.core.Snapshot(s)
	f.Active, f.Epoch, f.Workers = t.core.Active(), t.epoch, t.core.Workers()
	f.Lacking = t.core.Lacking()
	f.Queued, f.InFlight = stats.Queued, stats.InFlight
	for i := range s.GPUs[:min(len(s.GPUs), protocol.MaxLaneStats)] {
		g := &s.GPUs[i]
		lane := protocol.LaneStats{Worker: g.Worker, GPU: g.GPU}
		if len(g.Executions) > 0 {
			lane.ExecMS = protocol.Milliseconds(max(0, g.ExecFree.Sub(s.Now)))
		}
		if len(g.Transfers) > 0 {
			lane.LoadMS = protocol.Milliseconds(max(0, g.LoadFree.Sub(s.Now)))
		}
		f.Lanes = append(f.Lanes, lane)
	}
	f.Copies = s.CopiesInDemand(protocol.MaxCopyStats)
}

// answer explains requests by their ids; without ids it summarises recent
// misses.
func (t *term) answer(q protocol.Question) (any, *protocol.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, wall := explain.Report{Epoch: t.epoch}, clock.Wall()
	room := protocol.MaxAnswer
	size := func(e *explain.Explanation) int { return len(wire.EncodeBody(protocol.JSON, e)) }
	if len(q.IDs) == 0 {
		summary, since := t.live.Summary()
		summary.Shorten(room, size)
		at := wall(since).UTC()
		r.Summary, r.Since = summary, &at
		return r, nil
	}
	for i, text := range q.IDs {
		id, err := protocol.ParseRequestID(text)
		if err != nil {
			continue // a client's own id: front doors know it
		}
		if e, arrived := t.live.Explain(id, t.core.Waits); e != nil {
			if room -= size(e); room < 0 && len(r.Requests) > 0 {
				r.LeftOut = q.IDs[i:]
				break
			}
			r.Requests = append(r.Requests, explain.LiveExplanation{Explanation: e, Arrived: wall(arrived).UTC()})
		}
	}
	return r, nil
}
