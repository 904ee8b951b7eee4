package livestats

import (
	"time"

	"clockwork/pkg/protocol"
)

// Scheduler collects a scheduler's prediction errors.
type Scheduler struct{ span[errors] }

// errors are how much longer (over) or shorter (under) than predicted executions and
// loads took.
type errors struct{ execOver, execUnder, loadOver, loadUnder protocol.Histogram }

// NewScheduler returns a Scheduler that counts nothing until Watch.
func NewScheduler() *Scheduler { return &Scheduler{} }

// Ended counts a successful execution or weight transfer.
func (s *Scheduler) Ended(kind protocol.Kind, expected, took time.Duration) {
	s.count(func(e *errors) {
		over, under := &e.execOver, &e.execUnder
		if kind != protocol.Infer {
			over, under = &e.loadOver, &e.loadUnder
		}
		if by, isOver := protocol.Deviation(expected, took); isOver {
			over.Add(by)
		} else {
			under.Add(by)
		}
	})
}

// LiveStats returns the statistics. The service adds its current state.
func (s *Scheduler) LiveStats(now time.Time) protocol.LiveStats {
	f := &protocol.SchedulerStats{}
	lasted := s.read(now, func(older, newer *errors) {
		for _, half := range []*errors{older, newer} {
			f.ExecOver.Merge(half.execOver)
			f.ExecUnder.Merge(half.execUnder)
			f.LoadOver.Merge(half.loadOver)
			f.LoadUnder.Merge(half.loadUnder)
		}
	})
	return protocol.LiveStats{At: now, SpanMS: protocol.Milliseconds(lasted), Scheduler: f}
}
