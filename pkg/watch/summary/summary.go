package summary

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Summary logs what a hub reports, until Close.
type Summary struct {
	hub *watch.Hub
	log *slog.Logger
	say func(string)

	period   *watch.Period
	requests requests
	actions  actions
	gpus     gpus
}

// Listen attaches a Summary to a hub. It logs each period of length every in which an
// event occurred. If the log's level is above info, say is called with a one-line
// version instead; nil for none.
func Listen(every time.Duration, hub *watch.Hub, log *slog.Logger, say func(string)) *Summary {
	s := &Summary{hub: hub, log: log, say: say}
	s.period = watch.NewPeriod(every, func(began, now time.Time) { s.report(now.Sub(began)) })
	hub.OnRequest(func(r *watch.Request) {
		s.requests.onRequest(r)
		s.period.Begin()
	})
	hub.OnAction(func(a *watch.Action) {
		s.actions.onAction(a)
		s.period.Begin()
	})
	hub.OnStep(s.onStep)
	hub.OnResult(s.result)
	return s
}

// Close ends and reports the current period.
func (s *Summary) Close() error {
	s.period.Close()
	return nil
}

// onStep leaves out the steps of an idle core.
func (s *Summary) onStep(took time.Duration) {
	if s.period.Begun() {
		s.actions.onStep(took)
	}
}

// result leaves out actions that do not run on a GPU: loads from disk and state queries.
func (s *Summary) result(r *protocol.Result) {
	if r.Kind.OnGPU() {
		s.gpus.onResult(r)
		s.period.Begin()
	}
}

// report reports a period of the given length.
func (s *Summary) report(took time.Duration) {
	took = max(took, time.Millisecond)
	answered, done := s.requests.end(), s.gpus.end()
	if !s.log.Enabled(context.Background(), slog.LevelInfo) {
		if s.say != nil && answered.total > 0 {
			s.say(brief(answered, done, took))
		}
		s.actions.end()
		return // without reading the gauges, which pings the broker
	}
	read := s.hub.Gauges()
	answered.report(s.log, took)
	s.actions.report(s.log, took, read)
	reportGPUs(s.log, done, took, read)
}

// brief returns a period in one line for people.
func brief(answered answers, done map[gpu]*work, took time.Duration) string {
	text := answered.brief(took)
	if len(done) == 0 {
		return text
	}
	busy := 0.0
	for _, w := range done {
		busy += utilisation(w.executing, took)
	}
	return fmt.Sprintf("%s; GPUs %.0f %% busy", text, 100*busy/float64(len(done)))
}
