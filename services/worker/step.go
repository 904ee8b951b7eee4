package worker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// step applies one event to the core and carries out its output. The caller
// holds the lock, also for the functions below.
func (a *agent) step(e work.Event) {
	a.carryOut(a.stepCore(clock.Now(), e))
	for len(a.staging) > 0 {
		last := len(a.staging) - 1
		o := a.staging[last]
		a.staging = a.staging[:last]
		e := a.gpus[o.GPU].copyInputs(o)
		a.carryOut(a.stepCore(clock.Now(), e))
	}
}

// stepCore has the core decide, and those who observe it see what. The output may be
// used until the next step.
func (a *agent) stepCore(now protocol.Time, e work.Event) *work.Output {
	out := a.core.Step(now, e)
	a.config.Observers.Step(now, e, out)
	return out
}

func (a *agent) carryOut(out *work.Output) {
	for _, o := range out.Stage {
		if o.InputBytes <= smallCopy {
			a.staging = append(a.staging, o)
		} else {
			a.gpus[o.GPU].stages <- o
		}
	}
	for _, o := range out.Execute {
		g := a.gpus[o.GPU]
		jobOf(o).weights = g.weights[o.Action.Model]
		g.execute <- o
	}
	for _, o := range out.Fetch {
		jobOf(o).fetch = true
	}
	for _, o := range out.Transfer {
		g := a.gpus[o.GPU]
		jobOf(o).losses = g.losses
		g.transfer <- o
	}
	for _, o := range out.Overdue {
		a.endOverdue(o)
	}
	for _, s := range out.HungStarts {
		a.endStart(s)
	}
	for _, o := range out.GivenUp {
		a.bus.Notice(slog.LevelWarn, "a load is given up; what it runs is ended", o.Action.Load.Path, "path", o.Action.Load.Path, "within", o.Action.Load.Within)
		a.reads[o]()
	}
	for _, o := range out.Read {
		ctx, cancel := context.WithCancel(a.ctx)
		a.reads[o] = cancel
		a.work.Go(func() { a.load(ctx, o) })
	}
	for _, o := range out.Deliver {
		a.outputs.add(o, jobOf(o).payloads)
	}
	for _, o := range out.Release {
		if j := jobOf(o); j.run != nil {
			j.run.Release()
			j.run = nil
		}
	}
	for _, m := range out.Close {
		a.closeModel(m.Handle.(backend.Model))
	}
	for i := range out.Results {
		a.report(&out.Results[i])
		a.results.Add(out.Results[i])
	}
	a.results.Add(out.Again...)
	if len(out.Dropped) > 0 {
		a.bus.Notice(slog.LevelWarn, "no room for inputs: the oldest that no action needs were dropped, or new ones", "",
			"request", out.Dropped[0], "held", a.core.Snapshot().InputBytes)
	}
	if out.Renewed {
		a.bus.Log.Info("the worker begins anew, to be measured; its models stay in memory", "incarnation", a.core.Incarnation())
		if a.heartbeats != nil {
			a.heartbeats.Now()
		}
	}
	for _, o := range out.Loaded {
		a.bus.Notice(slog.LevelInfo, "model loaded", o.Action.Load.Path, "path", o.Action.Load.Path, "copies", len(o.Action.Load.Names), "took", o.Exec.Device)
	}
	a.wakeAt(out.Wake)
}

// wakeAt schedules a Tick at `at` at the latest. A Tick may come early:
// postponing the timer with each action would cost more than a useless Tick.
func (a *agent) wakeAt(at protocol.Time) {
	if at >= a.wake {
		return
	}
	a.wake = at
	a.timer.Reset(max(0, at.Sub(clock.Now())))
}

func (a *agent) tick() {
	a.mu.Lock()
	defer a.unlock()
	a.wake = protocol.Never
	a.step(&work.Tick{})
}

// onAction takes actions of any issuer.
func (a *agent) onAction(m *nats.Msg) {
	actions, fault := wire.Actions.Decode(m.Data)
	if fault != nil {
		a.bus.BadMessage("bad actions", m.Subject, fault) // without an id there is nothing to answer
		return
	}
	a.mu.Lock()
	defer a.unlock()
	a.wakeClock(clock.Now())
	for i := range actions {
		if !a.bus.Credible(m, max(actions[i].Epoch, actions[i].Leader.Term)) {
			continue
		}
		a.received.Action = actions[i]
		a.step(&a.received)
	}
}

// onInputs takes the payloads of requests.
func (a *agent) onInputs(m *nats.Msg) {
	payloads, fault := wire.Inputs.Decode(m.Data)
	if fault != nil {
		a.bus.BadMessage("bad inputs", m.Subject, fault)
		return
	}
	a.takeInputs(payloads)
}

func (a *agent) takeInputs(payloads []protocol.Input) {
	a.mu.Lock()
	defer a.unlock()
	for i := range payloads {
		p := &payloads[i]
		if p.Data == nil {
			p.Data = []byte{} // nil requests a generated input
		}
		a.input = work.Input{ID: p.ID, Bytes: int64(len(p.Data)), Data: p.Data}
		a.step(&a.input)
	}
}

// load reads a model from disk, or only what is there. Called without the lock.
func (a *agent) load(ctx context.Context, o *work.Order) {
	e, load := work.ModelRead{Order: o, Begin: clock.Now()}, o.Action.Load
	var model backend.Model
	var err error
	if load.Compare {
		e.Spec, err = a.backend.Identify(load.Path)
	} else {
		options := backend.LoadOptions{MaxBatch: load.MaxBatch, PageSize: a.pageSize(), Version: load.Version, Digest: load.Digest, Within: load.Within}
		if model, err = a.backend.LoadModel(ctx, load.Path, options); err == nil {
			e.Spec, e.Profiles, e.Handle = model.Spec(), model.Profiles(), model
		}
	}
	e.End, e.Refusal = clock.Now(), refusal(err)
	a.mu.Lock()
	defer a.unlock()
	a.reads[o]()
	delete(a.reads, o)
	if model != nil {
		a.models[model] = struct{}{}
	}
	a.step(&e)
}

func (a *agent) closeModel(m backend.Model) {
	delete(a.models, m)
	if err := m.Close(); err != nil {
		a.bus.Notice(slog.LevelError, "model not closed", m.Spec().Path, "path", m.Spec().Path, "error", err)
	}
}

// closeAll removes every model from host memory when the worker ends.
func (a *agent) closeAll() {
	for _, m := range slices.Collect(maps.Keys(a.models)) {
		a.closeModel(m)
	}
}

func (a *agent) pageSize() int64 {
	if len(a.gpus) == 0 {
		return 0
	}
	return a.gpus[0].info.PageSize
}

// span returns a phase that ends now.
func span(begin protocol.Time) protocol.Phase {
	end := clock.Now()
	return protocol.Phase{Begin: begin, End: end, Device: end.Sub(begin)}
}

// refusal converts a backend's error to an action's.
func refusal(err error) *protocol.Error {
	if err == nil {
		return nil
	}
	var coded *protocol.Error
	if errors.As(err, &coded) && coded.Code.Row().Audience&protocol.ForWorkers != 0 {
		return coded
	}
	return protocol.Errorf(protocol.BackendError, "%v", err)
}
