package watch

import (
	"slices"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Follow returns a core that tells of its actions and of its own pace. Whoever owns
// the core calls it, as before.
func (h *Hub) Follow(core sched.Core) sched.Core {
	if !h.hearsCore() {
		return core
	}
	return &follower{Core: core, hub: h, open: map[protocol.ActionID]*Action{}}
}

// follower keeps the actions that have no result yet.
type follower struct {
	sched.Core
	hub   *Hub
	open  map[protocol.ActionID]*Action
	spare []*Action
	sweep protocol.Time
}

// overdue is how long after its latest end an action without a result is given up.
// The core gives up sooner; what its result says later is of use here all the same.
const overdue = 10 * time.Second

// Step implements sched.Core.
func (f *follower) Step(now protocol.Time, e sched.Event) sched.Output {
	began := time.Now()
	out := f.Core.Step(now, e)
	took := time.Since(began)
	for _, hear := range f.hub.steps {
		hear(took)
	}
	if r, ok := e.(*sched.Result); ok {
		f.result(now, &r.Result)
	}
	for i := range out.Actions {
		f.sent(now, &out.Actions[i])
	}
	for i := range out.Refusals {
		for _, hear := range f.hub.refusals {
			hear(now, &out.Refusals[i])
		}
	}
	if now >= f.sweep {
		f.giveUp(now)
	}
	return out
}

func (f *follower) sent(now protocol.Time, a *sched.Addressed) {
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

func (f *follower) result(now protocol.Time, r *protocol.Result) {
	if a := f.open[r.Action]; a != nil && a.Worker == r.Worker {
		a.Result = r
		f.end(now, a)
	}
}

func (f *follower) end(now protocol.Time, a *Action) {
	a.Ended = now
	for _, hear := range f.hub.actions {
		hear(a)
	}
	delete(f.open, a.ID)
	a.Result = nil
	f.spare = append(f.spare, a)
}

// giveUp ends what has had no result for too long, the oldest first.
func (f *follower) giveUp(now protocol.Time) {
	f.sweep = now.Add(overdue)
	var late []protocol.ActionID
	for id, a := range f.open {
		if now.Sub(a.Latest.Add(a.Expected)) > overdue {
			late = append(late, id)
		}
	}
	slices.Sort(late)
	for _, id := range late {
		f.end(now, f.open[id])
	}
}
