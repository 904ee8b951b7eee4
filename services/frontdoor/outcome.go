package frontdoor

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/adapter/local"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// This file takes messages about the rest of the stack and about the outcomes of
// requests.

// onDispatch takes the scheduler's decisions.
func (d *FrontDoor) onDispatch(m *nats.Msg) {
	defer d.sendLast(m.Sub)
	dispatches, fault := wire.Dispatches.Decode(m.Data)
	if fault != nil {
		d.bus.BadMessage("bad dispatch", m.Subject, fault)
		return
	}
	var e frontdoor.Dispatched
	d.mu.Lock()
	ended := d.checkConnection(nil)
	for i := range dispatches {
		e.Dispatch = dispatches[i]
		ended = d.decide(&e, ended)
	}
	d.unlock(ended)
}

// sendLast sends the payloads if no further dispatch is pending, or if maxHeld
// is reached.
func (d *FrontDoor) sendLast(sub *nats.Subscription) {
	if waiting, _, err := sub.Pending(); err != nil || waiting <= 1 || d.inputs.Len() >= maxHeld {
		d.inputs.Flush()
	}
}

// onOutput takes the outputs of executed requests. The subject names the worker.
func (d *FrontDoor) onOutput(m *nats.Msg) {
	outputs, fault := wire.Outputs.Decode(m.Data)
	if fault != nil {
		d.bus.BadMessage("bad output", m.Subject, fault)
		return
	}
	e := frontdoor.OutputArrived{Worker: d.bus.Subjects.Token(m.Subject, 3)}
	d.mu.Lock()
	ended := d.checkConnection(nil)
	for i := range outputs {
		e.Output = &outputs[i]
		ended = d.decide(&e, ended)
	}
	d.unlock(ended)
}

// takeOutputs takes the outputs of workers in this process.
func (d *FrontDoor) takeOutputs(outputs []local.ExecutedRequest) {
	var e frontdoor.OutputArrived
	d.mu.Lock()
	ended := d.checkConnection(nil)
	for i := range outputs {
		e.Worker, e.Output = outputs[i].Worker, &outputs[i].Output
		ended = d.decide(&e, ended)
	}
	d.unlock(ended)
}

func (d *FrontDoor) noteForeign(f frontdoor.Foreign) {
	d.bus.Notice(slog.LevelWarn, "outputs ignored: their requests were given to other workers", f.Worker, "worker", f.Worker, "request", f.Request.ID)
}

// watchState watches the stage and the models, and starts a new watch after the
// broker was lost.
func (d *FrontDoor) watchState(ctx context.Context) {
	var complaint bus.Complaint
	for ctx.Err() == nil {
		if err := d.state.Watch(ctx, d.onChange); err != nil {
			complaint.Warn(d.bus.Log, time.Now(), "state not watched", err)
		}
		clock.Pause(ctx, 200*time.Millisecond)
	}
}

func (d *FrontDoor) onChange(c bus.Change) {
	switch {
	case c.Stage != 0:
		d.step(&frontdoor.StageSeen{Stage: c.Stage})
	case c.Model != nil:
		d.step(&frontdoor.ModelSeen{Spec: *c.Model})
	case c.Dropped != "":
		d.step(&frontdoor.ModelDropped{Name: c.Dropped})
	}
}

func (d *FrontDoor) onScheduler(h protocol.Heartbeat) {
	d.step(&frontdoor.SchedulerBeat{Heartbeat: h})
}

func (d *FrontDoor) onSchedulerLost(h protocol.Heartbeat) {
	if h.State == protocol.SchedulerActive {
		d.bus.Notice(slog.LevelWarn, "lost the active scheduler", h.ID, "scheduler", h.ID, "epoch", h.Epoch)
	}
	d.step(&frontdoor.SchedulerLost{Heartbeat: h})
}
