package livestats

import (
	"time"

	"clockwork/pkg/protocol"
)

// Scheduler counts how well a scheduler predicted.
type Scheduler struct{ span[errors] }

// errors are by how much work took longer than predicted, or less.
type errors struct{ execOver, execUnder, loadOver, loadUnder protocol.Histogram }

// NewScheduler makes a Scheduler that nobody watches.
func NewScheduler() *Scheduler { return &Scheduler{} }

// Ended takes in an execution or a weight transfer that went well.
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

// LiveStats returns what was counted. The service adds what it knows besides.
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
