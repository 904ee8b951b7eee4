package sched

import (
	"slices"

	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// wChange is an order that changed which weights are on a GPU.
type wChange struct {
	epoch uint64
	model string
	load  bool // they are there from then on, or on their way; otherwise gone, or leaving
}

// began notes what begins, and checks that it may (G2, G7). A clock that steps back says that
// it is early.
func (x *wWorker) began(o *work.Order) {
	a := &o.Action
	if x.Now() > o.Latest {
		x.w.broken("G2: %s begins %s %d after %v", x.id, a.Kind, a.ID, o.Latest)
	}
	if a.Kind == protocol.Infer {
		return
	}
	x.w.happened.transfers++
	if a.Epoch < x.joined {
		x.w.broken("G7: %s belongs to epoch %d, and begins %s of epoch %d", x.id, x.joined, a.Kind, a.Epoch)
	}
	x.changes = append(x.changes, wChange{a.Epoch, a.Model, a.Kind == protocol.LoadWeights})
}

// ended notes that a load which had begun failed. One that finds no room was ordered by a
// scheduler that does not know what is on the GPU (G6).
func (x *wWorker) ended(r *protocol.Result, o *work.Order) {
	if r.Code == protocol.NoMemory {
		x.w.broken("G6: %s#%d has no room for %s, by order of epoch %d", x.id, r.Incarnation, r.Model, r.Issuer)
	}
	if o != nil && r.Kind == protocol.LoadWeights && r.Code != protocol.OK && r.Begin != 0 {
		x.changes = append(x.changes, wChange{o.Action.Epoch, r.Model, false})
	}
}

// weightsLost notes that the executor ended.
func (x *wWorker) weightsLost() {
	for _, m := range wModels {
		x.changes = append(x.changes, wChange{model: m.Name})
	}
}

// checkMirror checks that a worker joins an epoch as its GPU is (G6), but for what the epoch
// itself ordered, and for an end of its executor that came later, of which heartbeats tell.
func (x *wWorker) checkMirror(told *protocol.WorkerState, epoch uint64) {
	x.joined = max(x.joined, epoch)
	gpu := &told.GPUs[0]
	if gpu.Executor != x.core.Core.State().GPUs[0].Executor {
		return
	}
	for _, m := range wModels {
		there, ours := x.holds(m.Name, epoch)
		shown, moving := slices.Contains(gpu.Models, m.Name), slices.Contains(gpu.Moving, m.Name)
		if !ours && (there && !shown && !moving || shown && !there) {
			x.w.broken("G6: %s#%d joins epoch %d with %s on its GPU: %v, moving: %v; by its orders %v", x.id, told.Incarnation, epoch, m.Name, shown, moving, there)
		}
	}
}

// holds reports whether a model is on the GPU by what was ordered before an epoch, and whether
// the epoch itself gave an order for it.
func (x *wWorker) holds(model string, epoch uint64) (there, ours bool) {
	for _, c := range x.changes {
		if c.model == model {
			there, ours = c.load, ours || c.epoch >= epoch
		}
	}
	return there, ours
}
