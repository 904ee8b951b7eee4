package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// do carries out the output of a step of the startup phase. Messages are
// published at once; writes to the store run in the background and report their
// results as events. The caller holds the lock.
func (l *leader) do(ctx context.Context, out startup.Output) {
	writeRecords := func() { l.work.Start(func() { l.writeRecords(ctx) }) }
	for _, a := range out.Actions {
		if err := l.bus.Control.Publish(l.bus.Subjects.Action(a.Worker), wire.Actions.Encode(&[]protocol.Action{a.Action})); err != nil {
			l.bus.Notice(slog.LevelWarn, "action not sent", a.Worker, "worker", a.Worker, "kind", a.Action.Kind, "error", err) // the machine sends it again
		}
	}
	for _, r := range out.Replies {
		l.answerLoad(r)
	}
	for _, s := range out.Store {
		l.work.Start(func() { l.store(ctx, s) })
	}
	for _, u := range out.Unstore {
		l.work.Start(func() { l.unstore(ctx, u) })
	}
	if out.SetStage != nil {
		to, revision := *out.SetStage, l.revision
		l.work.Start(func() { l.advance(ctx, revision, to, out.Quarantined) })
	}
	if out.Confirm {
		l.work.Start(func() { l.fenced(ctx, l.writer.Confirm(ctx)) })
	}
	if out.StartProfiling != nil {
		j := out.StartProfiling
		// The machine counts its jobs from 1; on the wire their ids are unique to this
		// term.
		job := protocol.ProfileJob{ID: l.issuer + j.Job, Term: l.writer.Term(), Models: j.Models, Workers: withoutModels(j.Workers), Known: j.Known}
		l.publish(l.bus.Subjects.ProfilerStart(), wire.Job.Encode(&job))
	}
	if out.Activate != nil {
		state := *out.Activate
		l.records.put(out.Activate.Workers, writeRecords)
		state.Workers = withoutModels(state.Workers)
		l.publish(l.bus.Subjects.SchedulerStart(), wire.Start.Encode(&state))
	}
	for _, w := range out.JoinWorkers {
		l.records.put([]protocol.WorkerState{w}, writeRecords)
	}
	for _, w := range append(out.JoinWorkers, out.JoinAgain...) {
		w.Models = nil // all workers hold every model but those in Lacks; the profiles stay
		l.work.Start(func() { l.announce(ctx, w) })
	}
	for _, id := range out.DropWorkers {
		l.records.remove(id, writeRecords)
	}
	for _, e := range out.Events {
		l.tell(e)
	}
}

func (l *leader) publish(subject string, body []byte) {
	if err := l.bus.PublishChunks(l.bus.Payload, subject, body); err != nil {
		l.bus.Log.Error("not sent", "subject", subject, "error", err) // the machine sends it again
	}
}

// tell publishes an event and logs it, but for most of what others cause at a high rate.
func (l *leader) tell(e protocol.Event) {
	subject, others := causedBy(&e)
	if !others {
		l.bus.Event(e)
	} else if !l.bus.NoticeEvent(subject, e) {
		return
	}
	l.note(e)
}

// causedBy returns what an event is about that workers or clients cause, at any rate. Stages,
// countdowns and the progress of measurements are at the pace of the machine.
func causedBy(e *protocol.Event) (subject string, others bool) {
	switch e.Kind {
	case protocol.EventLoad:
		if e.Code == protocol.OK { // it loaded models, whose number has a bound
			return e.Path, true
		}
		return string(e.Code), true
	case protocol.EventWorkerJoined, protocol.EventWorkerWaits, protocol.EventWorkerLost, protocol.EventModelMissing, protocol.EventModelBack:
		return e.Worker, true
	case protocol.EventQuarantine:
		return e.Model, true
	case protocol.EventBlocked:
		return "", true
	}
	return "", false
}

// note logs the events that an operator needs afterwards; progress is not
// logged.
func (l *leader) note(e protocol.Event) {
	switch e.Kind {
	case protocol.EventStage:
		l.bus.Log.Info("stage", "stage", e.Stage)
	case protocol.EventLoad:
		l.bus.Log.Info("load answered", "path", e.Path, "model", e.Model, "copies", e.Total, "code", e.Code, "message", e.Message)
		if e.Code == protocol.OK && e.Message != "" {
			l.bus.Log.Warn("something else is at the path of held models now; they stay what they were", "path", e.Path, "message", e.Message)
		}
	case protocol.EventQuarantine:
		l.bus.Log.Warn("model quarantined", "model", e.Model, "why", e.Message)
	case protocol.EventModelMissing:
		l.bus.Log.Warn("a worker serves without a model that it could not load as it was loaded first",
			"worker", e.Worker, "model", e.Model, "models", e.Total, "code", e.Code, "message", e.Message)
	case protocol.EventModelBack:
		l.bus.Log.Info("a worker serves a model again that it lacked", "worker", e.Worker, "model", e.Model, "models", e.Total)
	case protocol.EventWorkerJoined:
		l.bus.Log.Info("worker joined", "worker", e.Worker)
	case protocol.EventWorkerWaits:
		l.bus.Log.Warn("a worker is not used yet", "worker", e.Worker, "why", e.Message)
	case protocol.EventBlocked:
		if e.Message == "" {
			l.bus.Log.Info("nothing is missing any more", "stage", e.Stage)
		} else {
			l.bus.Log.Warn("something is missing that the stack waits for", "stage", e.Stage, "missing", e.Message)
		}
	case protocol.EventWorkerLost:
		l.bus.Log.Warn("worker lost", "worker", e.Worker, "code", e.Code, "message", e.Message)
	}
}

// logged logs an error after which the caller continues.
func (l *leader) logged(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		l.bus.Log.Warn("store not written", "what", what, "error", err)
	}
}

// withoutModels leaves out the models and profiles of the workers: all of them
// hold every model of the epoch but those that they lack, and the scheduler and
// the profiler rely on that.
func withoutModels(workers []protocol.WorkerState) []protocol.WorkerState {
	lean := make([]protocol.WorkerState, len(workers))
	for i, w := range workers {
		w.Models, w.Profiles = nil, nil
		lean[i] = w
	}
	return lean
}

// fenced reports to the machine that another controller leads, if err says so. The machine
// is told once; it ends with that.
func (l *leader) fenced(ctx context.Context, err error) bool {
	if !errors.Is(err, bus.ErrFenced) {
		return false
	}
	l.step(ctx, startup.Fenced{})
	return true
}

// store writes models, as parts of one load, and reports the result. Without models it asks
// the store whether this controller leads.
func (l *leader) store(ctx context.Context, s startup.Store) {
	load := fmt.Sprintf("%016x-%d", l.issuer, s.Token)
	var err error
	if len(s.Models) == 0 {
		err = l.writer.Confirm(ctx)
	}
	for _, m := range s.Models {
		if err = l.writer.PutPart(ctx, m, load, len(s.Models)); err != nil {
			break
		}
	}
	switch {
	case l.fenced(ctx, err):
	case err != nil:
		l.logged("models of a load", err)
		l.step(ctx, startup.StoreFailed{Token: s.Token})
	default:
		l.step(ctx, startup.ModelsStored{Token: s.Token})
	}
}

// unstoreEvery is the pause before a failed removal is repeated.
const unstoreEvery = 200 * time.Millisecond

// unstore removes models, repeatedly until the store succeeds, and reports that.
func (l *leader) unstore(ctx context.Context, u startup.Unstore) {
	for _, name := range u.Names {
		for err := l.writer.DropModel(ctx, name); err != nil; err = l.writer.DropModel(ctx, name) {
			if l.fenced(ctx, err) {
				return
			}
			l.logged("remove model "+name, err)
			if !clock.Pause(ctx, unstoreEvery) {
				return
			}
		}
	}
	l.step(ctx, startup.ModelsUnstored{Token: u.Token})
}

// advance writes the stage, after the quarantine that belongs to it, and reports
// the stage that KV then holds.
func (l *leader) advance(ctx context.Context, revision uint64, to protocol.Stage, quarantined []startup.Quarantine) {
	if to == protocol.Active {
		reasons := map[string]string{}
		for _, q := range quarantined {
			reasons[q.Model] = q.Reason
		}
		if err := l.writer.SetQuarantine(ctx, reasons); err != nil {
			if l.logged("quarantine", err); !l.fenced(ctx, err) {
				l.step(ctx, startup.StageConflict{}) // the machine sets the stage again
			}
			return
		}
	}
	next, since, err := l.writer.AdvanceStage(ctx, revision, to)
	if err == nil {
		l.locked(func() {
			l.stage, l.since, l.revision = to, since, next
			l.decide(ctx, startup.StageStored{Stage: to})
		})
		return
	}
	if l.logged("stage", err); l.fenced(ctx, err) {
		return
	}
	stage, since, next, err := l.writer.Stage(ctx)
	if errors.Is(err, bus.ErrUnreadable) { // the machine's next try replaces it
		l.logged("stage", err)
		l.locked(func() {
			l.revision = next
			l.decide(ctx, startup.StageConflict{})
		})
		return
	}
	if err != nil {
		l.logged("stage", err)
		l.step(ctx, startup.StageConflict{})
		return
	}
	l.locked(func() {
		if stage != 0 || l.stage == 0 { // otherwise the store was lost: storeWatchdog rewrites all of it, not only the stage
			l.stage, l.since, l.revision = stage, since, next
		}
		l.decide(ctx, startup.StageConflict{Stage: stage})
	})
}
