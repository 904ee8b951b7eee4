package summary

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Summary adds up what a hub tells, until Close.
type Summary struct {
	hub *watch.Hub
	log *slog.Logger
	say func(string)

	period   *watch.Period
	requests requests
	actions  actions
	gpus     gpus
}

// Listen attaches a summary to a hub, which tells of every period of so long in which
// something happened. say is told one line of it where the log takes none; nil for nobody.
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

// Close tells of the period that has begun.
func (s *Summary) Close() error {
	s.period.Close()
	return nil
}

// stepped leaves out the steps of a core that has nothing to do.
func (s *Summary) onStep(took time.Duration) {
	if s.period.Begun() {
		s.actions.onStep(took)
	}
}

// result leaves out what no GPU did: loads from disk, and questions.
func (s *Summary) result(r *protocol.Result) {
	if r.Kind.OnGPU() {
		s.gpus.onResult(r)
		s.period.Begin()
	}
}

// tell tells of a period that took so long.
func (s *Summary) report(took time.Duration) {
	took = max(took, time.Millisecond)
	answered, done := s.requests.end(), s.gpus.end()
	if !s.log.Enabled(context.Background(), slog.LevelInfo) {
		if s.say != nil && answered.total > 0 {
			s.say(brief(answered, done, took))
		}
		s.actions.end()
		return // without asking the broker how far it is, for nobody
	}
	read := s.hub.Gauges()
	answered.report(s.log, took)
	s.actions.report(s.log, took, read)
	reportGPUs(s.log, done, took, read)
}

// brief is a period in a line for a person.
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
