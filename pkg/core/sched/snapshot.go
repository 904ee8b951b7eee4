package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// Snapshot is a core's state after its last Step, for displays. It shares no memory with
// the core; Core.Snapshot can overwrite it. Times are by the core's clock.
type Snapshot struct {
	// Now is the time of the core's last step.
	Now    protocol.Time
	GPUs   []GPUSnapshot   // by worker id, then index
	Models []ModelSnapshot // in the order of the state
	// To and Back are the measured times of messages to workers and from them, over all
	// workers; 0 without a sample.
	To, Back time.Duration
	// Wanted counts the models that wait for a load.
	Wanted int
}

// GPUSnapshot is the state of a GPU.
type GPUSnapshot struct {
	Worker string
	GPU    int
	Type   string
	// Pages are all weight pages; Free are those neither allocated nor promised.
	Pages int
	Free  int
	// Copies counts the resident models; Turns those that wait for the execution lane.
	Copies int
	Turns  int
	// Stalled: it gets nothing done, and no work.
	Stalled bool
	// Pace is the ratio of the executions' duration to what is usual on the GPU's type,
	// at least 1; 1 without a measurement.
	Pace float64
	// To and Back are the measured times of messages to this worker and from it.
	To, Back time.Duration
	// Executions were sent and have no result; Transfers were sent or are pending. Both
	// are in the order in which they run.
	Executions []ActionSnapshot
	Transfers  []ActionSnapshot
	// ExecFree and LoadFree are when the two lanes are expected to be free, not after
	// Now for an idle lane.
	ExecFree, LoadFree protocol.Time
}

// ActionSnapshot is the work of one action, with its expected times.
type ActionSnapshot struct {
	Kind  protocol.Kind
	Model string
	// Batch is the batch size and Requests the number of members; 0 except for Infer.
	Batch    int
	Requests int
	// Begin and End are expected times, End not before Begin.
	Begin, End protocol.Time
}

// ModelSnapshot is the state of a model.
type ModelSnapshot struct {
	Name string
	// Copies counts the resident copies, Loading those pending or being loaded, GPUs the
	// live GPUs that can hold the model.
	Copies  int
	Loading int
	GPUs    int
	// Queued counts the waiting requests, Recent those of late (recentRequests).
	Queued int
	Recent uint64
	// Exec and Load are the present estimates of one item's execution and of a load, on
	// the GPU type that executes it fastest.
	Exec, Load time.Duration
	// Quarantined is until when its requests were refused last for its crashes, 0 for never;
	// see Snapshot.Quarantined.
	Quarantined protocol.Time
}

// Snapshot implements Core.
func (c *engine) Snapshot(s *Snapshot) {
	gpus, models := s.GPUs[:0], s.Models[:0]
	*s = Snapshot{Now: c.now, To: c.fleetDelay.toWorker.value(), Back: c.fleetDelay.fromWorker.value(), Wanted: c.policy.wanting()}
	for _, g := range c.gpus {
		gpus = append(gpus, c.gpuSnapshot(g))
	}
	for _, m := range c.models {
		models = append(models, c.modelSnapshot(m))
	}
	s.GPUs, s.Models = gpus, models
}

// gpuSnapshot places the Infers without a result one after the other, so that the last
// ends when the lane is free.
func (c *engine) gpuSnapshot(g *gpu) GPUSnapshot {
	s := GPUSnapshot{
		Worker: g.worker.id, GPU: g.id, Type: c.kinds[g.kind].name, Pages: g.total, Free: g.vacant() - g.promised,
		Turns: len(g.runQueue), Stalled: g.stalled, Pace: max(1, g.slowdown.factor),
		To: g.worker.delay.toWorker.value(), Back: g.worker.delay.fromWorker.value(), ExecFree: g.free(c.now), LoadFree: c.now,
	}
	at := g.free(c.now).Add(-g.lane.work)
	for _, a := range g.infers {
		begin := at.Add(a.wait)
		at = begin.Add(a.takes)
		s.Executions = append(s.Executions, ActionSnapshot{protocol.Infer, a.replica.model.spec.Name, a.size, len(a.members), begin, at})
	}
	c.transfers(g, &s)
	return s
}

// transfers adds copies and transfers of a GPU: evictions, the present load, pending loads.
func (c *engine) transfers(g *gpu, s *GPUSnapshot) {
	add := func(kind protocol.Kind, r *replica, end protocol.Time) {
		s.Transfers = append(s.Transfers, ActionSnapshot{Kind: kind, Model: r.model.spec.Name, Begin: s.LoadFree, End: end})
		s.LoadFree = max(s.LoadFree, end)
	}
	for _, r := range g.replicas {
		if r.phase == resident {
			s.Copies++
		}
		if r.transfer != nil && r.phase == evicting {
			add(protocol.EvictWeights, r, s.LoadFree)
		}
	}
	if r := g.loading; r != nil {
		add(protocol.LoadWeights, r, max(c.now, r.transfer.expected))
	}
	for _, r := range g.pending {
		add(protocol.LoadWeights, r, s.LoadFree.Add(r.model.costs[g.kind].load.Value()))
	}
}

// modelSnapshot returns the state of a model.
func (c *engine) modelSnapshot(m *model) ModelSnapshot {
	s := ModelSnapshot{Name: m.spec.Name, Copies: len(m.holders), GPUs: m.capableGPUs(), Queued: m.queued, Recent: m.recent.at(c.now), Quarantined: m.quarantined}
	for _, r := range m.replicas {
		if r.phase == pending || r.phase == loading {
			s.Loading++
		}
	}
	s.Exec, s.Load = c.alone(m)
	return s
}
