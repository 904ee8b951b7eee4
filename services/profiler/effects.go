package profiler

import (
	"context"
	"errors"
	"log/slog"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// step applies one event to the machine and carries out its output. After the
// term, only the outstanding ProfileStored are applied.
func (s *Service) step(e measure.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, owed := e.(measure.ProfileStored); s.term.Err() != nil && !owed {
		return
	}
	s.do(e)
}

func (s *Service) do(e measure.Event) {
	now, term, writer, job := clock.Now(), s.term, s.writer, s.machine.Job()
	out := s.machine.Step(now, e)
	s.config.Observers.Step(now, e, &out)
	s.hearResults()
	for _, a := range out.Actions {
		if err := s.bus.Control.Publish(s.bus.Subjects.Action(a.Worker), wire.Actions.Encode(&[]protocol.Action{a.Action})); err != nil {
			s.bus.Notice(slog.LevelWarn, "action not sent", a.Worker, "worker", a.Worker, "kind", a.Action.Kind, "error", err) // the action times out
		}
	}
	if read := out.Read; read != nil {
		s.beside.Go(func() { s.read(term, *read) })
	}
	for _, store := range out.Store {
		s.beside.Go(func() { s.store(term, writer, store) })
	}
	if out.Confirm {
		s.beside.Go(func() { s.fenced(writer.Confirm(term)) })
	}
	for _, e := range out.Progress {
		s.bus.Event(e)
	}
	s.log(out)
	if out.Report != nil {
		if err := s.bus.PublishChunks(s.bus.Control, s.bus.Subjects.ProfilerReport(), wire.Report.Encode(out.Report)); err != nil {
			s.bus.Log.Error("profile report not sent", "error", err) // the profiler is idle now, so the controller sends the job again
		}
	}
	if s.machine.Job() != job {
		s.heartbeats.Now()
	}
	if out.Wake == protocol.Never {
		s.timer.Stop()
	} else {
		s.timer.Reset(max(0, out.Wake.Sub(now)))
	}
}

// hearResults subscribes to the workers' results while there is a job. The
// broker receives the subscription before an action, because both use one
// connection.
func (s *Service) hearResults() {
	hears, working := s.results != nil, s.machine.Job() != 0
	switch {
	case working && !hears:
		sub, err := s.bus.Subscribe(s.bus.Control, s.bus.Subjects.Result("*"), s.onResult)
		if err != nil {
			s.bus.Log.Error("not subscribed to results", "error", err) // actions time out
			return
		}
		s.results = sub
	case hears && !working:
		_ = s.results.Unsubscribe() // the subscription ends with the connection at the latest
		s.results = nil
	}
}

// read reads the profiles of earlier jobs.
func (s *Service) read(ctx context.Context, read measure.Read) {
	var last error
	reading := measure.NewReading(read)
	for key, more := reading.Next(); more; key, more = reading.Next() {
		p, found, err := s.profiles.Profile(ctx, protocol.Profile{Digest: key.Digest, Backend: key.Backend, BackendVersion: key.BackendVersion, GPUType: key.GPUType})
		if err != nil {
			last = err
		}
		reading.Got(p, found, err != nil)
	}
	done := reading.Done()
	if last != nil {
		s.bus.Log.Warn("stored profiles not read; what they are of is measured again", "read", len(done.Profiles), "of", len(read.Keys), "error", last)
	}
	s.step(done)
}

// store writes a profile, so that an interrupted job can resume.
func (s *Service) store(ctx context.Context, writer *bus.Writer, store measure.Store) {
	if err := writer.PutProfile(ctx, store.Profile); err != nil && !s.fenced(err) {
		s.bus.Log.Warn("profile not stored", "digest", store.Profile.Digest, "error", err) // the report contains it anyway
	}
	s.step(measure.ProfileStored{Token: store.Token})
}

// fenced ends the term if err says that another profiler has taken the lease.
func (s *Service) fenced(err error) bool {
	if !errors.Is(err, bus.ErrFenced) {
		return false
	}
	select {
	case s.over <- struct{}{}:
	default: // it is ending
	}
	return true
}

// log logs the job and its setbacks.
func (s *Service) log(out measure.Output) {
	log := s.bus.Log
	if b := out.Begun; b != nil {
		log.Info("profiling", "job", b.Job, "models", b.Models, "units", b.Units, "stored", b.Stored)
	}
	warn := func(what, subject string, args ...any) { s.bus.Notice(slog.LevelWarn, what, subject, args...) }
	for _, e := range out.Setbacks {
		switch e.Kind {
		case measure.ActionFailed:
			log.Debug("action failed", "model", e.Model, "worker", e.Worker, "gpu", e.GPU, "times", e.Times, "reason", e.Reason)
		case measure.NotCleared:
			warn("a GPU cannot be cleared", e.Worker, "worker", e.Worker, "gpu", e.GPU, "times", e.Times, "reason", e.Reason)
		case measure.NoResult:
			warn("no result while measuring", e.Worker, "model", e.Model, "worker", e.Worker, "gpu", e.GPU, "reason", e.Reason)
		case measure.NotMeasured:
			warn("model not measured", e.Model, "model", e.Model, "gpu", e.Type, "reason", e.Reason)
		case measure.GPUHung:
			warn("a GPU is hung", e.Worker, "worker", e.Worker, "gpu", e.GPU, "reason", e.Reason)
		}
	}
	if u := out.Unfinished; u != nil {
		log.Warn("job not finished: GPUs were lost", "job", u.Job, "units", u.Units)
	}
}
