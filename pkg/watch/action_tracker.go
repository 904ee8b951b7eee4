package watch

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Observer returns an observer that passes the actions and refusals of a scheduler's
// cores to the listeners, or nil if there are no such listeners. The owner of the core
// calls it.
func (h *Hub) Observer() sched.Observer {
	if h == nil || len(h.actions)+len(h.refusals) == 0 {
		return nil
	}
	return &actionTracker{hub: h, open: map[protocol.ActionID]*Action{}}
}

// WantsSteps reports whether any listener wants the duration of the scheduler's steps.
func (h *Hub) WantsSteps() bool { return h != nil && len(h.steps) > 0 }

// Step reports how long the scheduler took for an event.
func (h *Hub) Step(took time.Duration) {
	if !h.WantsSteps() {
		return
	}
	for _, hear := range h.steps {
		hear(took)
	}
}

// actionTracker holds the actions that have no result yet, until the core awaits none.
type actionTracker struct {
	hub   *Hub
	open  map[protocol.ActionID]*Action
	spare []*Action
}

// Begin implements sched.Observer. Results of an earlier core's actions no longer
// arrive, so those actions are dropped.
func (f *actionTracker) Begin(sched.Setup) {
	clear(f.open)
}

// Step implements sched.Observer.
func (f *actionTracker) Step(now protocol.Time, e sched.Event, out *sched.Output) {
	if r, ok := e.(*sched.Result); ok {
		f.result(now, &r.Result)
	}
	for _, u := range out.Unanswered {
		if a := f.open[u.Action]; a != nil {
			f.end(now, a)
		}
	}
	for i := range out.Actions {
		f.sent(now, &out.Actions[i])
	}
	for i := range out.Refusals {
		for _, hear := range f.hub.refusals {
			hear(now, &out.Refusals[i])
		}
	}
}

func (f *actionTracker) sent(now protocol.Time, a *sched.Addressed) {
	kept := &Action{}
	if n := len(f.spare); n > 0 {
		kept, f.spare = f.spare[n-1], f.spare[:n-1]
	}
	*kept = Action{
		Worker: a.Worker, ID: a.Action.ID, Epoch: a.Action.Epoch, Kind: a.Action.Kind, GPU: a.Action.GPU,
		Model: a.Action.Model, Batch: a.Action.Batch, Requests: append(kept.Requests[:0], a.Action.Requests...),
		Earliest: a.Action.Earliest, Latest: a.Action.Latest, Expected: a.Action.Expected, Plan: a.Plan, Sent: now,
	}
	f.open[a.Action.ID] = kept
}

func (f *actionTracker) result(now protocol.Time, r *protocol.Result) {
	if a := f.open[r.Action]; a != nil && a.Worker == r.Worker {
		a.Result = r
		f.end(now, a)
	}
}

func (f *actionTracker) end(now protocol.Time, a *Action) {
	a.Ended = now
	for _, hear := range f.hub.actions {
		hear(a)
	}
	delete(f.open, a.ID)
	a.Result = nil
	f.spare = append(f.spare, a)
}
