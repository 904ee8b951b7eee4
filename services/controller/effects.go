package controller

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// What a step of the startup phase wants done. Publishing is done at once;
// writing to the store goes on beside, and its outcome comes back as an event.

func (l *leader) do(ctx context.Context, out startup.Output) {
	for _, a := range out.Actions {
		if err := l.bus.Control.Publish(l.bus.Subjects.Action(a.Worker), wire.Actions.Encode(&[]protocol.Action{a.Action})); err != nil {
			l.bus.Log.Warn("action not sent", "worker", a.Worker, "kind", a.Action.Kind, "error", err) // it times out
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
	if out.StartProfiling != nil {
		j := out.StartProfiling
		// The machine counts its jobs from 1; on the wire they are this term's.
		job := protocol.ProfileJob{ID: l.issuer + j.Job, Models: j.Models, Workers: withoutModels(j.Workers), Known: j.Known}
		l.publish(l.bus.Subjects.ProfilerStart(), wire.Job.Encode(&job))
	}
	if out.Activate != nil {
		l.announcing.endAll() // those are among the workers of the state
		state, workers := *out.Activate, out.Activate.Workers
		l.work.Start(func() { l.storeWorkers(ctx, workers) })
		state.Workers = withoutModels(state.Workers)
		l.publish(l.bus.Subjects.SchedulerStart(), wire.Start.Encode(&state))
	}
	for _, w := range out.JoinWorkers {
		l.work.Start(func() { l.storeWorkers(ctx, []protocol.WorkerState{w}) })
		lean := w
		lean.Models = nil // all workers hold every model; its profiles are its own news
		told := l.announcing.begin(ctx, w.ID)
		l.work.Start(func() { l.announce(told, lean) })
	}
	for _, id := range out.DropWorkers {
		l.announcing.end(id)
		l.work.Start(func() { l.logged("remove worker", l.state.DropWorker(ctx, id)) })
	}
	for _, e := range out.Events {
		l.bus.Event(e)
		l.note(e)
	}
	l.stepDown = l.stepDown || out.StepDown
}

func (l *leader) publish(subject string, body []byte) {
	if err := l.bus.PublishChunks(l.bus.Payload, subject, body); err != nil {
		l.bus.Log.Error("not sent", "subject", subject, "error", err) // it is sent again
	}
}

// note writes down what an operator looks for when nobody listened to the
// events; progress is not among it.
func (l *leader) note(e protocol.Event) {
	switch e.Kind {
	case protocol.EventStage:
		l.bus.Log.Info("stage", "stage", e.Stage)
	case protocol.EventLoad:
		l.bus.Log.Info("load answered", "path", e.Path, "model", e.Model, "copies", e.Total, "code", e.Code, "message", e.Message)
	case protocol.EventQuarantine:
		l.bus.Log.Warn("model quarantined", "model", e.Model, "why", e.Message)
	case protocol.EventWorkerJoined:
		l.bus.Log.Info("worker joined", "worker", e.Worker)
	case protocol.EventWorkerLost:
		l.bus.Log.Warn("worker lost", "worker", e.Worker, "code", e.Code, "message", e.Message)
	}
}

// logged tells the operator of a failure that the caller goes on with.
func (l *leader) logged(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		l.bus.Log.Warn("store not written", "what", what, "error", err)
	}
}

// withoutModels leaves out what every worker repeats: all of them hold every
// model of the epoch, and the scheduler and the profiler count on that.
func withoutModels(workers []protocol.WorkerState) []protocol.WorkerState {
	lean := make([]protocol.WorkerState, len(workers))
	for i, w := range workers {
		w.Models, w.Profiles = nil, nil
		lean[i] = w
	}
	return lean
}

// writers is how many models are written at a time.
const writers = 16

// store writes models, as parts of one load, and reports how it went.
func (l *leader) store(ctx context.Context, s startup.Store) {
	load := fmt.Sprintf("%016x-%d", l.issuer, s.Token)
	var failed atomic.Bool
	slots := make(chan struct{}, writers)
	for _, m := range s.Models {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			if err := l.state.PutPart(ctx, m, load, len(s.Models)); err != nil {
				failed.Store(true)
				l.logged("model "+m.Name, err)
			}
		}()
	}
	for range writers { // wait for the last ones
		slots <- struct{}{}
	}
	if failed.Load() {
		l.report(ctx, startup.StoreFailed{Token: s.Token})
		return
	}
	l.report(ctx, startup.ModelsStored{Token: s.Token})
}

// unstoreEvery is the pause before a model is removed again when the store was
// away.
const unstoreEvery = 200 * time.Millisecond

// unstore removes models, until the store took it, and reports that.
func (l *leader) unstore(ctx context.Context, u startup.Unstore) {
	for _, name := range u.Names {
		for err := l.state.DropModel(ctx, name); err != nil; err = l.state.DropModel(ctx, name) {
			l.logged("remove model "+name, err)
			if !clock.Pause(ctx, unstoreEvery) {
				return
			}
		}
	}
	l.report(ctx, startup.ModelsUnstored{Token: u.Token})
}

func (l *leader) storeWorkers(ctx context.Context, workers []protocol.WorkerState) {
	for _, w := range withoutModels(workers) {
		l.logged("worker "+w.ID, l.state.PutWorker(ctx, w))
	}
}

// advance moves the stage, after what is quarantined with it, and reports what
// stands in the store then.
func (l *leader) advance(ctx context.Context, revision uint64, to protocol.Stage, quarantined []startup.Quarantine) {
	if to == protocol.Active {
		reasons := map[string]string{}
		for _, q := range quarantined {
			reasons[q.Model] = q.Reason
		}
		if err := l.state.SetQuarantine(ctx, reasons); err != nil {
			l.logged("quarantine", err)
			l.report(ctx, startup.StageConflict{}) // it is asked for again
			return
		}
	}
	next, since, err := l.state.AdvanceStage(ctx, revision, to)
	if err == nil {
		if l.inTurn(ctx, func() { l.stage, l.since, l.revision = to, since, next }) {
			l.report(ctx, startup.StageStored{Stage: to})
		}
		return
	}
	l.logged("stage", err)
	stage, since, next, err := l.state.Stage(ctx)
	if err != nil {
		l.logged("stage", err)
		l.report(ctx, startup.StageConflict{})
		return
	}
	if l.inTurn(ctx, func() {
		if stage != 0 || l.stage == 0 { // else the store was lost: guard writes all of it again, not the stage alone
			l.stage, l.since, l.revision = stage, since, next
		}
	}) {
		l.report(ctx, startup.StageConflict{Stage: stage})
	}
}

// inTurn runs f in the machine's goroutine and waits for it. It reports false
// when that goroutine ended before.
func (l *leader) inTurn(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case l.turns <- func() { f(); close(done) }:
		<-done // who takes a turn runs it
		return true
	case <-ctx.Done():
		return false
	}
}
