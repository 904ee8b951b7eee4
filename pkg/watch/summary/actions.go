package summary

import (
	"log/slog"
	"sync"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// actions counts the scheduler's actions that ended in a period, and the durations of
// its steps.
type actions struct {
	mu                   sync.Mutex
	infers, loads        int
	failed               int // without a result, or with one that is not OK
	predicted, completed durations
	step                 durations
}

func (s *actions) onAction(a *watch.Action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, late, done := a.Completed()
	switch {
	case !done:
		s.failed++
		return
	case a.Kind == protocol.Infer:
		s.infers++
	case a.Kind == protocol.LoadWeights:
		s.loads++
	default:
		return
	}
	s.predicted.add(a.Took() - a.Expected)
	s.completed.add(late)
}

// onStep counts one step of the core. Steps count only in periods with events: an idle
// core also steps now and then.
func (s *actions) onStep(took time.Duration) {
	s.mu.Lock()
	s.step.add(took)
	s.mu.Unlock()
}

// report logs a period and begins the next; read holds the current gauges.
func (s *actions) report(log *slog.Logger, took time.Duration, read []watch.Gauges) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.infers+s.loads+s.failed > 0 {
		fields := []any{
			"infers", perSecond(s.infers, took), "loads", perSecond(s.loads, took), "failed", s.failed,
			"prediction_error_p50_ms", s.predicted.at(50, time.Millisecond), "prediction_error_p99_ms", s.predicted.at(99, time.Millisecond),
			"completion_error_p99_ms", s.completed.at(99, time.Millisecond),
			"step_p50_us", s.step.at(50, time.Microsecond), "step_p99_us", s.step.at(99, time.Microsecond),
		}
		for _, r := range read {
			if r.Scheduler != nil {
				fields = append(fields, "queued", r.Scheduler.Stats.Queued, "in_flight", r.Scheduler.Stats.InFlight)
			}
		}
		log.Info("actions", fields...)
	}
	s.reset()
}

// end ends a period without logging it.
func (s *actions) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset()
}

// reset begins a new period. The caller holds the lock.
func (s *actions) reset() {
	s.infers, s.loads, s.failed = 0, 0, 0
	s.predicted.reset()
	s.completed.reset()
	s.step.reset()
}
