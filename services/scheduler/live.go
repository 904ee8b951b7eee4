package scheduler

import (
	"cmp"
	"slices"
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/watch/figures"
)

// What people can see of a scheduler while it works: its figures, and why single
// requests ended as they did.

// followed is a core that a Live follows; who owns the one owns the other.
type followed struct {
	sched.Core
	live *explain.Live
}

func (c *followed) Step(now protocol.Time, e sched.Event) sched.Output {
	out := c.Core.Step(now, e)
	c.live.Step(now, e, &out)
	return out
}

// tellPredictions has the figures hear how well durations were predicted.
func (t *term) tellPredictions(predicted *figures.Scheduler) {
	t.live.Closed = func(c *explain.Closed) {
		if c.OK {
			predicted.Ended(c.Kind, c.Expected, c.Took)
		}
	}
}

// shown is a scheduler's figures.
type shown struct {
	*figures.Scheduler
	service *Service
}

// startFigures tells them while somebody watches.
func (s *Service) startFigures(b *bus.Bus) (stop func(), err error) {
	f, err := b.StartFigures(protocol.Scheduler, protocol.DoorName(s.id), &shown{s.predicted, s})
	return f.Stop, err
}

// Figures implements bus.Counted.
func (s *shown) Figures(now time.Time) protocol.Figures {
	f := s.Scheduler.Figures(now)
	if t := s.service.term.Load(); t != nil {
		t.figures(f.Scheduler)
	}
	return f
}

func (t *term) figures(f *protocol.SchedulerFigures) {
	type copies struct {
		name        string
		gpus, asked int
	}
	var models []copies
	t.mu.Lock()
	stats := t.core.Stats()
	f.Active, f.Epoch, f.Workers = t.active.Load(), t.epoch.Load(), t.core.Workers()
	f.Queued, f.InFlight = stats.Queued, stats.InFlight
	lanes := t.live.Lanes(protocol.MaxLaneFigures)
	t.live.Copies(func(name string, gpus, asked int) { models = append(models, copies{name, gpus, asked}) })
	t.mu.Unlock()
	for _, l := range lanes {
		f.Lanes = append(f.Lanes, protocol.LaneFigures{Worker: l.Worker, GPU: l.GPU, ExecMS: protocol.Milliseconds(l.Exec), LoadMS: protocol.Milliseconds(l.Load)})
	}
	slices.SortFunc(models, func(a, b copies) int { return cmp.Or(cmp.Compare(b.asked, a.asked), cmp.Compare(a.name, b.name)) })
	f.Copies = map[string]int{}
	for _, m := range models[:min(len(models), protocol.MaxCopyFigures)] {
		f.Copies[m.name] = m.gpus
	}
}

// answer explains requests; without any, what was missed lately.
func (t *term) answer(q protocol.Question) (any, *protocol.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, wall := explain.Report{Epoch: t.epoch.Load()}, clock.Wall()
	if len(q.IDs) == 0 {
		summary, since := t.live.Summary()
		at := wall(since).UTC()
		r.Summary, r.Since = summary, &at
		return r, nil
	}
	for _, text := range q.IDs {
		id, err := protocol.ParseRequestID(text)
		if err != nil {
			continue // a client's own: front doors know it
		}
		if e, arrived := t.live.Explain(id); e != nil {
			r.Requests = append(r.Requests, explain.Told{Explanation: e, Arrived: wall(arrived).UTC()})
		}
	}
	return r, nil
}
